/**
 * Every error a person can meet, in one table: what it is called, whether another attempt may help, and what to do.
 * The form (code, one line, hint) follows pnpm's `PnpmError`; the single table follows fastify's `lib/errors.js`.
 * README's error table is checked against this one by a test.
 */
export const ERROR_CODES = {
  // Wrong input: found before anything runs, or fixable while the launch is held.
  USAGE: { retryable: false, exit: 2, meaning: 'the command line is wrong' },
  AGENT_NOT_FOUND: { retryable: false, exit: 2, meaning: 'no agent file of that name' },
  BOTTLE_FILE_NOT_FOUND: { retryable: false, exit: 2, meaning: 'the agent names a bottle file that is not there' },
  MANIFEST_INVALID: { retryable: false, exit: 2, meaning: 'an agent, bottle or config file does not fit the schema' },
  PLAN_CHANGED: {
    retryable: false,
    exit: 1,
    meaning: 'the manifest has changed in what was already made from it',
  },
  SKILL_NOT_FOUND: { retryable: false, exit: 1, meaning: 'a skill is in none of the skill folders' },
  ENV_MISSING: {
    retryable: false,
    exit: 1,
    meaning: 'a variable of the manifest has no value: the host lacks it, or nobody answered',
  },
  SECRET_MISSING: { retryable: false, exit: 1, meaning: 'a secret that the manifest refers to cannot be read' },
  INVALID_ID: { retryable: false, exit: 2, meaning: 'a bottle id that breaks the naming rule' },

  // The host: Docker, images, drivers.
  DOCKER_UNREACHABLE: { retryable: true, exit: 1, meaning: 'the Docker Engine does not answer' },
  DOCKER_CONTEXT_INVALID: {
    retryable: false,
    exit: 2,
    meaning: 'DOCKER_HOST or the current Docker context names no Engine',
  },
  ENGINE_UNSUPPORTED: { retryable: false, exit: 1, meaning: 'a bottle cannot be kept closed on that Engine' },
  DOCKER_ERROR: { retryable: true, exit: 1, meaning: 'the Docker Engine refused a call' },
  IMAGE_MISSING: { retryable: false, exit: 1, meaning: 'an image the plan needs has not been built' },
  IMAGE_BUILD_FAILED: { retryable: false, exit: 1, meaning: 'building an image failed' },
  TOOL_MISSING: { retryable: false, exit: 1, meaning: 'a program bottle needs is not installed' },
  DRIVER_UNAVAILABLE: { retryable: false, exit: 1, meaning: 'the machine driver cannot run on this host' },
  NAME_TAKEN: { retryable: false, exit: 1, meaning: 'a Docker object of that name belongs to someone else' },
  NETWORK_POOL_EXHAUSTED: { retryable: false, exit: 1, meaning: 'every subnet of the pool is in use' },
  UPLINK_MISSING: { retryable: false, exit: 1, meaning: 'the Docker network that is the way out is not there' },
  BUNDLE_NOT_READY: { retryable: true, exit: 1, meaning: 'a daemon of the bundle did not become ready' },
  MACHINE_NOT_RUNNING: { retryable: true, exit: 1, meaning: 'the machine is missing or not running' },
  MACHINE_START_FAILED: { retryable: true, exit: 1, meaning: 'the machine does not boot' },
  DRIVER_FAILED: { retryable: true, exit: 1, meaning: "the machine driver's program refused a call" },
  PROVISION_FAILED: { retryable: true, exit: 1, meaning: 'writing into the machine failed' },
  CHECK_FAILED: { retryable: true, exit: 1, meaning: 'the bottle is not as isolated or as able as it must be' },
  DISK_FULL: { retryable: true, exit: 1, meaning: 'a disk that bottle or the Docker Engine writes to is full' },
  HOST_FULL: {
    retryable: true,
    exit: 1,
    meaning: 'the host had no room for a launch, which was aborted while it waited',
  },
  STATE_MISSING: { retryable: false, exit: 1, meaning: "the bottle's state directory is gone" },
  NOT_ADOPTABLE: { retryable: false, exit: 1, meaning: 'a lost bottle cannot be taken over as it is' },
  ADOPTED: { retryable: false, exit: 1, meaning: 'a launch of another Temporal server has taken the bottle over' },

  // Asking and deciding.
  NO_SUCH_BOTTLE: { retryable: false, exit: 4, meaning: 'no bottle of that id' },
  BOTTLE_EXISTS: { retryable: false, exit: 1, meaning: 'an open bottle already has that id' },
  BOTTLE_FAILED: { retryable: false, exit: 1, meaning: 'the bottle was aborted, or ended before it was ready' },
  NO_SUCH_REQUEST: { retryable: false, exit: 4, meaning: 'no request of that id, or it was answered already' },
  NOT_HELD: { retryable: false, exit: 1, meaning: 'no step (or not that one) waits for a decision' },
  OTHER_HOST: { retryable: false, exit: 1, meaning: 'the bottle lives on another host' },

  // The engine.
  TEMPORAL_UNREACHABLE: { retryable: true, exit: 5, meaning: 'no Temporal server answers' },
  WORKER_UNREACHABLE: { retryable: true, exit: 5, meaning: "no worker serves the host's queue" },
  SERVER_FAILED: { retryable: false, exit: 5, meaning: 'the embedded Temporal server did not start' },
  WORKER_FAILED: { retryable: false, exit: 5, meaning: 'the worker did not start' },
  WORKER_DIFFERS: {
    retryable: false,
    exit: 5,
    meaning: "this host's worker works with another Engine, other files or another environment than yours",
  },
  WORKER_LOCKED: { retryable: false, exit: 1, meaning: 'another worker already serves this host' },
  WORKER_LOST: { retryable: true, exit: 1, meaning: 'the worker died while it ran the step' },
  TIMEOUT: { retryable: true, exit: 1, meaning: 'a step took longer than it may' },
  INTERNAL: { retryable: true, exit: 1, meaning: 'a fault in bottle itself' },
} as const satisfies Record<string, { retryable: boolean; exit: number; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What is kept and shown of an error: in the status document, in `--json`, in a history. Never holds a secret. */
export interface ErrorView {
  code: string;
  message: string;
  hint?: string;
  /** Where there are several things to say, each in a line. */
  problems?: readonly string[];
}

/** A history keeps every error. */
const MOST_PROBLEMS = 50;

function firstOf(problems: readonly string[]): string[] {
  const rest = problems.length - MOST_PROBLEMS;
  return [...problems.slice(0, MOST_PROBLEMS), ...(rest > 0 ? [`and ${rest} more`] : [])];
}

const brand: unique symbol = Symbol.for('bottleworks.BottleError');

/** The one error class of the product. Recognised by its brand, so it survives two copies of this module. */
export class BottleError extends Error {
  readonly [brand] = true;
  override readonly name = 'BottleError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly problems: readonly string[];

  /**
   * @param code one of {@link ERROR_CODES}
   * @param message one line, in plain words, without a full stop and without secrets
   * @param options `hint`: what the reader can do; `retryable`: overrides the table; `cause`: what was caught; `problems`:
   *   several things to say, each in a line
   */
  constructor(
    code: ErrorCode,
    message: string,
    options: {
      hint?: string | undefined;
      retryable?: boolean;
      cause?: unknown;
      problems?: readonly string[];
    } = {},
  ) {
    super(oneLine(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryable = options.retryable ?? ERROR_CODES[code].retryable;
    this.problems = options.problems ?? [];
  }

  static is(value: unknown): value is BottleError {
    return typeof value === 'object' && value !== null && brand in value;
  }

  view(): ErrorView {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.problems.length < 2 ? {} : { problems: firstOf(this.problems) }),
    };
  }
}

/** In the words of the kernel (and so of Docker, tar and git), and of SQLite. */
const NO_ROOM = /no space left on device|disk quota exceeded|database or disk is full/i;

/**
 * Any thrown value as an {@link ErrorView}; what is not a {@link BottleError} becomes `INTERNAL`. Whoever failed for want of
 * room says so in words of its own; here they all are `DISK_FULL`.
 */
export function errorView(error: unknown): ErrorView {
  const view = BottleError.is(error)
    ? error.view()
    : { code: 'INTERNAL', message: oneLine(error instanceof Error ? error.message : String(error)) };
  if (view.code === 'DISK_FULL' || !NO_ROOM.test(view.message)) return view;
  return { ...view, code: 'DISK_FULL', hint: 'make room on that disk, then retry: nothing is lost' };
}

/** The process exit code for an error (contract: Exit codes). */
export function exitCodeFor(code: string): number {
  return code in ERROR_CODES ? ERROR_CODES[code as ErrorCode].exit : 1;
}

/** Whether another attempt may do better, as far as the table knows the error. */
export function mayPass(error: Pick<ErrorView, 'code'> | undefined): boolean {
  if (error === undefined || !(error.code in ERROR_CODES)) return true;
  return ERROR_CODES[error.code as ErrorCode].retryable;
}

/** A message is one line wherever it is shown, and short enough for a history event. */
function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 1000 ? `${line.slice(0, 999)}…` : line;
}
