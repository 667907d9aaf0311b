/**
 * How long an Engine may take to answer one call. One that stands still as a whole is found by its pulse (engine-pulse.ts); but an
 * Engine may answer everybody and yet say nothing for ever to whoever asks for one container: Docker 20.10 does where that was paused
 * in the moment in which a command began in it. Nobody would hear of it otherwise, and no step would end.
 */

/** A call that takes as long as what it does, or as somebody looks on. */
const AS_LONG_AS_IT_TAKES = [
  /^\/(build|commit|events|session|auth|system\/df)\b/,
  /^\/images\/(create|load|get|search)\b/,
  /^\/images\/.+\/(get|push)\b/,
  /\/prune\b/,
  /^\/containers\/[^/]+\/(wait|attach|archive|export|logs|stats|copy)\b/,
];

/** On a computer with a load of 165 none of the others took a quarter of it. */
export const ANSWER_MS = 120_000;
/** Where files are copied or removed: a storage driver without layers (vfs) does so with a whole image, on whatever disk. */
const WITH_FILES = 5;

export interface EngineCall {
  path?: string;
  method?: string;
  options?: unknown;
  abortSignal?: AbortSignal;
}

/**
 * @param limitMs for a call that does nothing which takes its time by itself
 * @returns how long this call may wait for its answer, in milliseconds; undefined: for as long as it takes
 */
export function answerLimit(
  { method, path = '', options }: EngineCall,
  limitMs: number = ANSWER_MS,
): number | undefined {
  const of = path.replace(/^\/v[\d.]+(?=\/)/, '');
  if (AS_LONG_AS_IT_TAKES.some((pattern) => pattern.test(of))) return undefined;
  if (method === 'DELETE' || /^\/containers\/create\b/.test(of)) return limitMs * WITH_FILES;
  // It waits for what it stops, before it kills that.
  const grace = /^\/containers\/[^/]+\/(stop|restart)\b/.test(of)
    ? Number((options as { t?: number } | undefined)?.t ?? 10)
    : 0;
  return limitMs + grace * 1000;
}

type Answer = (error: unknown, answer: unknown) => void;

/**
 * Makes a call that is given up when it has no answer in time.
 * @param tooLate what is said then
 */
export function dialWithin(
  limitMs: number | undefined,
  dial: (call: EngineCall, answer: Answer) => void,
  call: EngineCall,
  answer: Answer,
  tooLate: () => unknown,
): void {
  if (limitMs === undefined) {
    dial(call, answer);
    return;
  }
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), limitMs).unref();
  const signals = call.abortSignal === undefined ? [late.signal] : [late.signal, call.abortSignal];
  dial({ ...call, abortSignal: AbortSignal.any(signals) }, (error, result) => {
    // What comes after the answer, a stream for one, takes as long as it takes.
    clearTimeout(timer);
    answer(error && late.signal.aborted ? tooLate() : error, result);
  });
}
