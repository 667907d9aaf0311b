/** Validates what starts a BottleLaunch; hand-written since it runs inside the workflow, where a schema library costs memory. */
import { isBottleId } from './names.ts';
import type { Driver } from './status.ts';

/** The one argument of a BottleLaunch. Everything but `agent` has a default. */
export interface LaunchInput {
  /** Stem of an agent file. */
  agent: string;
  /** Overrides the manifest's driver. */
  driver?: Driver;
}

const UNREADABLE = Symbol('unreadable');

/** Stands for an argument whose payload nobody could decode. */
export const unreadable = (encoding: string): object => ({ [UNREADABLE]: encoding });

function unreadableEncoding(value: object): string | undefined {
  return (value as { [UNREADABLE]?: string })[UNREADABLE];
}

const AGENT_NAME = /^[a-z][a-z0-9-]*$/;
const FIELDS = ['agent', 'driver'];

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
  const unknown = Object.keys(input).find((key) => !FIELDS.includes(key));
  if (unknown !== undefined) return `${shorten(unknown)}: unknown field (known: ${FIELDS.join(', ')})`;
  const { agent, driver } = input as Record<string, unknown>;
  if (typeof agent !== 'string' || !AGENT_NAME.test(agent) || agent.length > 100) {
    return 'agent: expected the name of an agent file (lower-case letters, digits and dashes, a letter first)';
  }
  if (driver !== undefined && driver !== 'docker' && driver !== 'smolvm') return 'driver: expected docker or smolvm';
  return driver === undefined ? { agent } : { agent, driver };
}

const shorten = (text: string): string => (text.length > 60 ? `${text.slice(0, 59)}…` : text);
