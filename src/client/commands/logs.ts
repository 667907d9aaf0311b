/** `bottle logs`: what the bundle's init and its daemons print. */
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { DAEMON_NAMES, isDaemonName } from '../../core/daemons.ts';
import { BottleError } from '../../core/errors.ts';
import { bundleName } from '../../core/names.ts';
import { inspectContainer } from '../../host/container.ts';
import { assertOurs, type DockerHost, engine } from '../../host/docker.ts';
import type { Context } from '../context.ts';
import { dockerHost, localPlan } from '../local-machine.ts';
import { clean } from '../render/text.ts';

export async function run(
  context: Context,
  id: string,
  daemon: string | undefined,
  options: { follow?: boolean },
): Promise<number> {
  const { output } = context;
  const follow = options.follow === true;
  if (follow && output.flags.json) throw new BottleError('USAGE', '--json and -f exclude each other');
  if (daemon !== undefined && !isDaemonName(daemon)) {
    throw new BottleError('USAGE', `there is no daemon ${clean(daemon)}`, {
      hint: `daemons: ${DAEMON_NAMES.join(', ')}`,
    });
  }
  await localPlan(context, id);
  const host = await dockerHost(context);
  const lines: string[] = [];
  for await (const line of logLines(host, bundleName(id), follow)) {
    if (daemon !== undefined && !line.startsWith(`[${daemon}] `)) continue;
    if (output.flags.json) lines.push(line);
    else output.result(undefined, clean(line) || ' ');
  }
  if (output.flags.json) output.result({ id, lines }, '');
  return 0;
}

async function* logLines(host: DockerHost, name: string, follow: boolean): AsyncGenerator<string> {
  const found = await inspectContainer(host, name);
  if (found === undefined) {
    throw new BottleError('MACHINE_NOT_RUNNING', `there is no bundle ${name} now`, { hint: 'bottle status shows why' });
  }
  assertOurs(host, 'container', name, found.Config.Labels);
  const container = host.docker.getContainer(found.Id);
  const text = new PassThrough();
  if (follow) {
    const raw = await engine('read the log', () => container.logs({ follow: true, stdout: true, stderr: true }));
    container.modem.demuxStream(raw, text, text);
    raw.on('end', () => text.end());
    raw.on('error', (error) => text.destroy(error));
  } else {
    const whole = await engine('read the log', () => container.logs({ follow: false, stdout: true, stderr: true }));
    const raw = new PassThrough();
    container.modem.demuxStream(raw, text, text);
    raw.on('end', () => text.end());
    raw.end(whole);
  }
  yield* createInterface({ input: text });
}
