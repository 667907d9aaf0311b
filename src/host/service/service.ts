/** Server and worker as a service of the user's: installed, removed and looked at by systemd or launchd. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { execa } from 'execa';
import { BottleError } from '../../core/errors.ts';
import { programFile } from '../package-root.ts';
import type { Settings } from '../settings.ts';
import { launchAgent, launchLabel, type ServiceSpec, systemdUnit } from './unit.ts';

export interface Service {
  manager: 'systemd' | 'launchd';
  name: string;
  /** Absolute path of its file. */
  file: string;
  text: string;
}

export interface ServiceState {
  installed: boolean;
  /** Whether the file is what this version and this environment would write. */
  current: boolean;
  running: boolean;
}

const ASK_MS = 30_000;
/** What a service has of the shell that installs it. Secrets are not among them: the file is for everybody to read. */
const KEPT =
  /^(PATH|LANG|DOCKER_(HOST|CONTEXT|CONFIG|CERT_PATH|TLS_VERIFY)|(HTTPS?|NO)_PROXY|(https?|no)_proxy|NODE_EXTRA_CA_CERTS|BOTTLE_\w+|TEMPORAL_(ADDRESS|NAMESPACE|PROFILE|CONFIG_FILE)|XDG_\w+_HOME)$/;

/**
 * The service of this installation, as text; nothing is touched.
 * @throws BottleError `TOOL_MISSING` on a system that has neither systemd nor launchd
 */
export function serviceOf(
  settings: Settings,
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): Service {
  const home = env['HOME'] || os.homedir();
  const name = nameOf(settings, home);
  const spec: ServiceSpec = {
    name,
    command: [process.execPath, programFile('client/main'), 'serve'],
    environment: Object.fromEntries(
      Object.entries(env)
        .filter((entry): entry is [string, string] => KEPT.test(entry[0]) && entry[1] !== undefined)
        .sort(([a], [b]) => a.localeCompare(b)),
    ),
    environmentFile: path.join(settings.home, 'environment'),
    log: path.join(settings.state, 'log', 'service.log'),
  };
  if (platform === 'darwin') {
    const file = path.join(home, 'Library/LaunchAgents', `${launchLabel(name)}.plist`);
    return { manager: 'launchd', name, file, text: launchAgent(spec) };
  }
  const config = env['XDG_CONFIG_HOME'] || path.join(home, '.config');
  return {
    manager: 'systemd',
    name,
    file: path.join(config, 'systemd/user', `${name}.service`),
    text: systemdUnit(spec),
  };
}

/** Other installations of the same user have services of their own. */
function nameOf({ state }: Pick<Settings, 'state'>, home: string): string {
  if (state === path.join(home, '.local/state/bottle')) return 'bottle';
  return `bottle-${createHash('sha256').update(state).digest('hex').slice(0, 8)}`;
}

/**
 * Writes it, and has it run now and from now on; one that is there and the same is left alone.
 * @param makeRoom ends what runs in its place, once it is sure that a service manager answers
 * @returns what it could not do, in words: nothing else stands in its way
 * @throws BottleError `TOOL_MISSING` where no service manager answers
 */
export async function installService(service: Service, makeRoom: () => Promise<void>): Promise<string[]> {
  await assertManager(service);
  const before = await serviceState(service);
  if (before.current && before.running) return [];
  if (!before.running) await makeRoom();
  await mkdir(path.dirname(service.file), { recursive: true });
  await writeFile(service.file, service.text, { mode: 0o644 });
  if (service.manager === 'launchd') {
    if (before.installed) await launchctl('bootout', `${domain()}/${launchLabel(service.name)}`).catch(() => undefined);
    await launchctl('bootstrap', domain(), service.file);
    return [];
  }
  await systemctl('daemon-reload');
  await systemctl('enable', service.name);
  await systemctl('restart', service.name);
  const lingers = await execa('loginctl', ['enable-linger'], { reject: false, timeout: ASK_MS, stdin: 'ignore' });
  return lingers.failed ? ['it starts when you log in, not with the computer: sudo loginctl enable-linger $USER'] : [];
}

/** @returns whether there was one */
export async function removeService(service: Service): Promise<boolean> {
  if (!existsSync(service.file)) return false;
  await assertManager(service);
  if (service.manager === 'launchd') {
    await launchctl('bootout', `${domain()}/${launchLabel(service.name)}`).catch(() => undefined);
  } else await systemctl('disable', '--now', service.name);
  await rm(service.file, { force: true });
  if (service.manager === 'systemd') await systemctl('daemon-reload');
  return true;
}

export async function serviceState(service: Service): Promise<ServiceState> {
  const text = await readFile(service.file, 'utf8').catch(() => undefined);
  const asked =
    service.manager === 'systemd'
      ? await execa('systemctl', ['--user', 'is-active', service.name], quietly)
      : await execa('launchctl', ['print', `${domain()}/${launchLabel(service.name)}`], quietly);
  const running = service.manager === 'systemd' ? !asked.failed : /\bstate = running\b/.test(asked.stdout ?? '');
  return { installed: text !== undefined, current: text === service.text, running };
}

const quietly = { reject: false, timeout: ASK_MS, stdin: 'ignore' } as const;
const domain = (): string => `gui/${process.getuid?.() ?? 0}`;

async function assertManager({ manager }: Service): Promise<void> {
  if (manager === 'launchd') return;
  const asked = await execa('systemctl', ['--user', 'show-environment'], quietly);
  if (!asked.failed) return;
  const why = existsSync('/run/systemd/system')
    ? `systemd does not answer this user: ${asked.stderr?.trim().split('\n').at(-1) || asked.shortMessage}`
    : 'this computer is not run by systemd';
  throw new BottleError('TOOL_MISSING', `no service can be installed: ${why}`, {
    hint: 'have whatever starts programs here run: bottle serve (cron: @reboot bottle serve --detach)',
  });
}

const systemctl = (...args: string[]): Promise<void> => manage('systemctl', ['--user', ...args]);
const launchctl = (...args: string[]): Promise<void> => manage('launchctl', args);

async function manage(program: string, args: string[]): Promise<void> {
  const done = await execa(program, args, quietly);
  if (!done.failed) return;
  throw new BottleError('TOOL_MISSING', `${program} ${args.join(' ')}: ${done.stderr?.trim() || done.shortMessage}`);
}
