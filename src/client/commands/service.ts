/** `bottle service`: server and worker that start with the computer. */
import { BottleError } from '../../core/errors.ts';
import { stopServer } from '../../host/embedded-server.ts';
import { installService, removeService, serviceOf, serviceState } from '../../host/service/service.ts';
import { markStopped } from '../../host/stopped-mark.ts';
import type { Context } from '../context.ts';
import { stopWorker } from '../worker-process.ts';

export async function run({ output, settings }: Context, act: string, options: { dryRun?: boolean }): Promise<number> {
  const service = serviceOf(settings);
  const { manager, name, file } = service;
  if (options.dryRun === true) {
    output.result({ manager, name, file, text: service.text }, () => `# ${file}\n${service.text}`);
    return 0;
  }
  if (act === 'status') {
    const state = await serviceState(service);
    const how = state.current ? '' : ', but not as this version and environment would: bottle service install';
    output.result({ manager, name, file, ...state }, () =>
      state.installed
        ? `${name} (${manager}): installed${how}; ${state.running ? 'running' : 'not running'}\n${file}`
        : `${name}: not installed`,
    );
    return state.installed && state.running ? 0 : 1;
  }
  if (act === 'remove') {
    const removed = await removeService(service);
    output.result({ manager, name, file, removed }, () => (removed ? `${name} is gone` : `${name} was not installed`));
    return 0;
  }
  if (act !== 'install') throw new BottleError('USAGE', `"${act.slice(0, 40)}" is none of install, remove, status`);
  // What runs by itself gives way to the service's own; launches go on with that.
  const notes = await installService(service, async () => {
    markStopped(settings);
    await stopWorker(settings);
    await stopServer(settings);
  });
  for (const note of notes) output.say(note);
  output.note(`secrets that are variables of your shell are not the service's; ${secretsHint(manager, settings.home)}`);
  output.result({ manager, name, file, installed: true, notes }, () => `${name} (${manager}) runs, from ${file}`);
  return 0;
}

const secretsHint = (manager: string, home: string): string =>
  manager === 'systemd'
    ? `write them to ${home}/environment, or name a file:, command: or keychain:`
    : 'name a file:, command: or keychain:';
