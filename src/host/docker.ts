/** The Docker Engine: one connection, and its errors as ours. */
import { createHash } from 'node:crypto';
import type Dockerode from 'dockerode';
import { BottleError } from '../core/errors.ts';
import { LABEL } from '../core/names.ts';
import type { BottleRef } from '../core/step-io.ts';
import { dockerAt } from './docker-connection.ts';
import { dockerEndpoint } from './docker-endpoint.ts';

/** What every host adapter works with: one Engine, and whose objects may be touched. */
export interface DockerHost {
  readonly docker: Dockerode;
  /** `<Temporal cluster id>/<namespace>`: objects of another owner are never touched. */
  readonly owner: string;
}

/**
 * The Engine where docker-endpoint.ts finds it. Connects lazily.
 * @throws BottleError `DOCKER_CONTEXT_INVALID`
 */
export function connectDocker(): Dockerode {
  return dockerAt(dockerEndpoint());
}

/** The labels of contract.md for one object. `spec` is what it is made from: a change of it means "make it anew". */
export function objectLabels(host: DockerHost, bottle: BottleRef, step: string, spec: unknown): Record<string, string> {
  return {
    [LABEL.bottle]: bottle.id,
    [LABEL.run]: bottle.runId,
    [LABEL.owner]: host.owner,
    [LABEL.step]: step,
    [LABEL.spec]: specHash(spec),
  };
}

/** The API's filter for this owner's objects of one bottle, or of all bottles; of one step or launch of it only. */
export function labelFilter(
  host: DockerHost,
  bottle?: string,
  only: { step?: string | undefined; run?: string | undefined } = {},
): { label: string[] } {
  return {
    label: [
      `${LABEL.owner}=${host.owner}`,
      bottle === undefined ? LABEL.bottle : `${LABEL.bottle}=${bottle}`,
      ...(only.step === undefined ? [] : [`${LABEL.step}=${only.step}`]),
      ...(only.run === undefined ? [] : [`${LABEL.run}=${only.run}`]),
    ],
  };
}

/**
 * Whether an existing object is the very thing wanted: same owner, same run, same spec. Another run's leftover is
 * not taken over even when it looks the same: nobody knows what was done in it.
 */
export function isWanted(existing: Record<string, string> | undefined, wanted: Record<string, string>): boolean {
  return [LABEL.owner, LABEL.run, LABEL.spec].every((label) => existing?.[label] === wanted[label]);
}

/**
 * The same for what holds somebody's work, or carries what does. An adopted bottle may be of an earlier version of bottle, which made the
 * same thing from another specification: it is taken as it is.
 */
export function isWantedOf(
  { madeBy }: BottleRef,
  existing: Record<string, string> | undefined,
  wanted: Record<string, string>,
): boolean {
  const spec = madeBy === undefined ? wanted : { ...wanted, [LABEL.spec]: existing?.[LABEL.spec] ?? '' };
  return isWanted(existing, spec as Record<string, string>);
}

/** @throws BottleError `NAME_TAKEN` when the object is not this owner's */
export function assertOurs(
  host: DockerHost,
  kind: string,
  name: string,
  labels: Record<string, string> | undefined,
): void {
  if (labels?.[LABEL.owner] === host.owner) return;
  const whose =
    labels?.[LABEL.owner] === undefined ? 'was not made by bottle' : 'belongs to another bottle installation';
  throw new BottleError('NAME_TAKEN', `the ${kind} ${name} ${whose}`, {
    hint: 'all installations on one Engine share its names: bottle abort this one and launch it under another with --name, or remove that object yourself',
  });
}

/** HTTP status of an Engine error; undefined for anything else. */
export function statusOf(error: unknown): number | undefined {
  return (error as { statusCode?: number } | undefined)?.statusCode;
}

/** Runs one Engine call; what it throws becomes a BottleError that says what was tried. */
export async function engine<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw engineError(what, error);
  }
}

/** Like {@link engine}, for making sure of absence: "no such" and "already" count as success. */
export async function ensureGone(what: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (statusOf(error) !== 404 && statusOf(error) !== 304) throw engineError(what, error);
  }
}

function engineError(what: string, error: unknown): unknown {
  if (BottleError.is(error)) return error;
  const {
    code,
    message = String(error),
    reason,
    json,
  } = error as {
    code?: string;
    message?: string;
    reason?: string;
    json?: { message?: string };
  };
  if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'EACCES' || code === 'ECONNRESET' || code === 'EPIPE') {
    return new BottleError('DOCKER_UNREACHABLE', `the Docker Engine does not answer (${code})`, {
      hint: code === 'EACCES' ? 'add yourself to the docker group' : 'start Docker, then retry',
      cause: error,
    });
  }
  if (statusOf(error) === undefined) return error;
  return new BottleError('DOCKER_ERROR', `${what}: ${json?.message ?? reason ?? message}`, { cause: error });
}

/** sha256, in hex, of a value's JSON with sorted keys. */
export function specHash(spec: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(spec)))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
