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

function failure(error: string, messages: LogMessage[] = []): BottleError {
  const said = messages.map((message) => message.stream ?? '').join('');
  return new BottleError('IMAGE_BUILD_FAILED', `${error} ${said.slice(-400)}`);
}
