/** The one place that turns whatever was thrown into `error[CODE]: message`, a hint and an exit code. */
import { BottleError, type ErrorView, errorView, exitCodeFor } from '../core/errors.ts';
import type { Output } from './output.ts';
import { clean } from './render/text.ts';

/** Shows the error and returns the exit code for it. */
export function reportError(thrown: unknown, output: Output): number {
  const view = viewOf(thrown);
  if (output.flags.json) output.stdout.write(`${JSON.stringify({ error: view })}\n`);
  else for (const line of errorLines(view)) output.say(line);
  if (output.flags.debug) for (const line of stackLines(thrown)) output.say(line);
  return exitCodeFor(view.code);
}

/** `error[CODE]: message`, then `hint: ...` where there is one. */
export function errorLines({ code, message, hint, problems = [] }: ErrorView): string[] {
  const several = problems.length > 1;
  // What a builder said leads to the error; problems are the error.
  const error = `error[${clean(code)}]: ${several && code !== 'IMAGE_BUILD_FAILED' ? `${problems.length} problems, listed above` : clean(message)}`;
  const lines = [...(several ? problems.map(clean) : []), error];
  return hint === undefined ? lines : [...lines, `hint: ${clean(hint)}`];
}

/** Any thrown value in the words of the error table. */
export function viewOf(thrown: unknown): ErrorView {
  return BottleError.is(thrown)
    ? errorView(thrown)
    : (commandLineError(thrown) ?? temporalError(thrown) ?? errorView(thrown));
}

/** Exit code of the errors that say that Temporal or a host's worker cannot be reached. */
const NOBODY_THERE = 5;

export const isUnreachable = (thrown: unknown): boolean => exitCodeFor(viewOf(thrown).code) === NOBODY_THERE;

/** Commander's own complaints; their codes start with `commander.` and their messages with `error: `. */
function commandLineError(thrown: unknown): ErrorView | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const { code, message, command } = thrown as Error & { code?: unknown; command?: string };
  if (typeof code !== 'string' || !code.startsWith('commander.')) return undefined;
  const [first = '', ...rest] = message.replace(/^error: /, '').split('\n');
  const suggestion = /^\(Did you mean (.+)\?\)$/.exec(rest.join(' ').trim())?.[1];
  return {
    code: 'USAGE',
    message: first,
    hint:
      suggestion === undefined
        ? `see: bottle help${command === undefined ? '' : ` ${command}`}`
        : `did you mean ${suggestion}?`,
  };
}

/** google.rpc.Code of answers that mean "nobody there". */
const UNREACHABLE = new Set([4, 14]);

/** Told apart by name and gRPC code, so that Temporal's client need not be loaded to report an error. */
function temporalError(thrown: unknown): ErrorView | undefined {
  for (let each = thrown; each instanceof Error; each = each.cause) {
    if (each.name === 'WorkflowNotFoundError') return { code: 'NO_SUCH_BOTTLE', message: 'no such bottle' };
    const { code } = each as { code?: unknown };
    if (typeof code === 'number' && UNREACHABLE.has(code)) {
      return {
        code: 'TEMPORAL_UNREACHABLE',
        message: 'the Temporal server has stopped answering',
        hint: 'bottle doctor',
      };
    }
  }
  return undefined;
}

function stackLines(thrown: unknown): string[] {
  const lines: string[] = [];
  for (let each = thrown; each instanceof Error; each = each.cause) lines.push(...(each.stack ?? '').split('\n'));
  return lines;
}
