/** Validates what starts a BottleLaunch; hand-written since it runs inside the workflow, where a schema library costs memory. */
import { isBottleId } from './names.ts';
import type { Driver } from './status.ts';
import type { Maker } from './step-io.ts';

/** The one argument of a BottleLaunch. Everything but `agent` has a default. */
export interface LaunchInput {
  /** Stem of an agent file. */
  agent: string;
  /** Overrides the manifest's driver. */
  driver?: Driver;
  /** Stems of bottle files in place of the one that the agent names; the later ones win. */
  bottles?: string[];
  /** Absolute path of the person's working folder on the host, whose agents count too. */
  cwd?: string;
  /** Copies that folder into the machine: `all` of it, or what git does not ignore (`unignored`). */
  copyCwd?: 'all' | 'unignored';
  /** The first message of the agent's first conversation. */
  prompt?: string;
  /** Where on the host the client has put its answers to the manifest's questions. */
  answers?: string;
  /** The launch whose bottle this one takes over as it is, instead of making one; as the state of that bottle names it. */
  adopts?: Maker;
}

/** What a host keeps of it, so that another launch can go on: the answers are kept by themselves, and are secrets. */
export function keptInput({ agent, driver, bottles, cwd, copyCwd, prompt }: LaunchInput): LaunchInput {
  const kept = { agent, driver, bottles, cwd, copyCwd, prompt };
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)) as unknown as LaunchInput;
}

const UNREADABLE = Symbol('unreadable');

/** Stands for an argument whose payload nobody could decode. */
export const unreadable = (encoding: string): object => ({ [UNREADABLE]: encoding });

function unreadableEncoding(value: object): string | undefined {
  return (value as { [UNREADABLE]?: string })[UNREADABLE];
}

const AGENT_NAME = /^[a-z][a-z0-9-]*$/;
const FIELDS = ['agent', 'driver', 'bottles', 'cwd', 'copyCwd', 'prompt', 'answers', 'adopts'] as const;
const MOST_BOTTLES = 20;
const LONGEST_PATH = 4096;
/** A history has it several times, and a workflow's input may hold 2 MB. */
export const LONGEST_PROMPT = 32 * 1024;

/**
 * @param id the workflow id, which is the bottle's id
 * @param taskQueue must be `bottle@<host>`
 * @returns the input with only known fields, or a one-line message that names the wrong field
 */
export function validateLaunch(id: string, taskQueue: string, args: readonly unknown[]): LaunchInput | string {
  if (!isBottleId(id)) {
    return `workflow id: "${shorten(id)}" is not a bottle id (lower-case letters, digits, single dashes, at most 40 characters)`;
  }
  if (!/^bottle@.+$/.test(taskQueue)) return `task queue: expected bottle@<host>, got "${shorten(taskQueue)}"`;
  if (args.length > 1) return `input: expected one JSON object, got ${args.length} arguments`;
  const input = args[0];
  if (typeof input !== 'object' || input === null || Array.isArray(input) || ArrayBuffer.isView(input)) {
    return 'input: expected one JSON object like {"agent": "demo"}';
  }
  const encoding = unreadableEncoding(input);
  if (encoding !== undefined) return `input: expected JSON, but it cannot be read (encoding: ${shorten(encoding)})`;
  const unknown = Object.keys(input).find((key) => !(FIELDS as readonly string[]).includes(key));
  if (unknown !== undefined) return `${shorten(unknown)}: unknown field (known: ${FIELDS.join(', ')})`;
  const fields = input as Record<(typeof FIELDS)[number], unknown>;
  for (const field of FIELDS) {
    const wrong = CHECKS[field](fields[field]);
    if (wrong !== undefined) return `${field}: ${wrong}`;
  }
  if (fields.copyCwd !== undefined && fields.cwd === undefined) return 'cwd: expected the folder that copyCwd copies';
  const given = FIELDS.flatMap((field) => (fields[field] === undefined ? [] : [[field, fields[field]]]));
  return Object.fromEntries(given) as LaunchInput;
}

const isAgentName = (value: unknown): boolean =>
  typeof value === 'string' && AGENT_NAME.test(value) && value.length <= 100;

const optional =
  (fits: (value: unknown) => boolean, expected: string) =>
  (value: unknown): string | undefined =>
    value === undefined || fits(value) ? undefined : expected;

/** What is wrong with a field; undefined when nothing is. */
const CHECKS: Record<(typeof FIELDS)[number], (value: unknown) => string | undefined> = {
  agent: (value) =>
    isAgentName(value)
      ? undefined
      : 'expected the name of an agent file (lower-case letters, digits and dashes, a letter first)',
  driver: optional((value) => value === 'docker' || value === 'smolvm', 'expected docker or smolvm'),
  bottles: optional(
    (value) => Array.isArray(value) && value.length > 0 && value.length <= MOST_BOTTLES && value.every(isAgentName),
    `expected a list of 1 to ${MOST_BOTTLES} names of bottle files`,
  ),
  cwd: optional(
    (value) => typeof value === 'string' && /^\/[^\0]*$/.test(value) && value.length <= LONGEST_PATH,
    'expected an absolute path',
  ),
  copyCwd: optional((value) => value === 'all' || value === 'unignored', 'expected all or unignored'),
  prompt: optional(
    (value) => typeof value === 'string' && value.trim() !== '' && value.length <= LONGEST_PROMPT,
    `expected text of at most ${LONGEST_PROMPT} characters`,
  ),
  answers: optional((value) => typeof value === 'string' && /^[a-z0-9-]{8,64}$/.test(value), 'expected an id'),
  adopts: optional(isMaker, 'expected {"owner": "<cluster id>/<namespace>", "run": "<run id>"}'),
};

function isMaker(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { owner, run, ...others } = value as Record<string, unknown>;
  const fits = (text: unknown, form: RegExp): boolean => typeof text === 'string' && form.test(text);
  return fits(owner, /^[^/\s]{1,200}\/\S{1,1000}$/) && fits(run, /^[\w-]{1,64}$/) && Object.keys(others).length === 0;
}

const shorten = (text: string): string => (text.length > 60 ? `${text.slice(0, 59)}…` : text);
