/** Pulls and builds as the Engine tells of them: waiting for the end, and what went wrong in its own words. */
import type Dockerode from 'dockerode';
import { BottleError } from '../core/errors.ts';

/** A registry that says nothing for this long is taken for one that cannot be reached. Milliseconds. */
const PULL_PATIENCE = 60_000;

/** Makes sure that an image is here. @returns undefined, or why it is not */
export async function obtainImage(docker: Dockerode, image: string): Promise<string | undefined> {
  try {
    await docker.getImage(image).inspect();
    return undefined;
  } catch {
    // Not here yet: pull it.
  }
  try {
    const abortSignal = AbortSignal.timeout(PULL_PATIENCE);
    await followLog(docker, await docker.pull(image, { abortSignal }));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** One message of the Engine's progress log. */
export interface LogMessage {
  stream?: string;
  status?: string;
  error?: string;
}

/**
 * Waits for the end of a build, pull or import.
 *
 * @returns its messages
 * @throws BottleError `IMAGE_BUILD_FAILED`
 */
export async function followLog(docker: Dockerode, log: NodeJS.ReadableStream): Promise<LogMessage[]> {
  const messages = await new Promise<LogMessage[]>((resolve, reject) => {
    docker.modem.followProgress(log, (error: Error | null, output: LogMessage[]) =>
      error ? reject(failure(error.message, output)) : resolve(output),
    );
  });
  const failed = messages.find((message) => message.error);
  if (failed) throw failure(failed.error ?? '', messages);
  return messages;
}

/** Its last lines are kept whole: what a program says last names the end, and what it said before that the cause. */
const LAST_LINES = 30;
const LONGEST_LINE = 300;

/**
 * @param messages undefined where the connection broke off before any
 * @param hint where nothing that was said gives a better one
 */
export function failure(error: string, messages: LogMessage[] = [], hint?: string): BottleError {
  const said = messages
    .map((message) => message.stream ?? '')
    .join('')
    .split(/[\r\n]+/)
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  const last = said
    .slice(-LAST_LINES)
    .map((line) => (line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line));
  const message = last.length > 1 ? error : [error, ...last].join(': ');
  return new BottleError('IMAGE_BUILD_FAILED', message, { problems: last, hint: hintFor(said.join('\n')) ?? hint });
}

/** What people meet most, by what the builder says of it. */
function hintFor(said: string): string | undefined {
  if (/update-alternatives: error|man1\/.*No such file|\/usr\/share\/man\/man\d/.test(said))
    return 'the package wants a folder that slim images lack; put before it: RUN mkdir -p /usr/share/man/man1';
  if (/Temporary failure (in name )?resol|Could not resolve|getaddrinfo/.test(said))
    return 'a build uses the network and proxy variables of this computer: a name could not be resolved';
  if (/No space left on device/.test(said)) return 'the Engine has no space left: docker system df';
  return undefined;
}
