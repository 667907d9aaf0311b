/** The service's files, read by those who will read them, and what systemd is asked, with one that is played. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { installService, removeService, serviceOf, serviceState } from '../../../../src/host/service/service.ts';
import { launchAgent, type ServiceSpec, systemdUnit } from '../../../../src/host/service/unit.ts';
import { settings as readSettings } from '../../../../src/host/settings.ts';

/** Everything that either format has a rule about. */
const AWKWARD = `/a folder/"quoted" 100% $HOME & <more> \\ it's`;
const SPEC: ServiceSpec = {
  name: 'bottle',
  command: ['/bin/true', AWKWARD, 'serve'],
  environment: { PATH: '/usr/bin:/bin', BOTTLE_HOME: AWKWARD },
  environmentFile: '/home/me/.bottle/environment',
  log: '/home/me/log',
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bottle-service-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

test('systemd takes the unit as it is', async (context) => {
  const file = join(folder, 'bottle.service');
  await writeFile(file, systemdUnit(SPEC));
  const { error, status, stderr } = spawnSync('systemd-analyze', ['verify', '--user', file], {
    encoding: 'utf8',
    env: { ...process.env, XDG_RUNTIME_DIR: folder },
  });
  if (error !== undefined) return context.skip('systemd-analyze is not here');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

test('a unit has its words quoted, so that systemd puts nothing in their place', () => {
  const unit = systemdUnit(SPEC);
  expect(unit).toContain(`ExecStart="/bin/true" "/a folder/\\"quoted\\" 100%% $$HOME & <more> \\\\ it's" "serve"`);
  expect(unit).toContain(`Environment="BOTTLE_HOME=/a folder/\\"quoted\\" 100%% $HOME & <more> \\\\ it's"`);
});

test('a property list says what was meant', async (context) => {
  const file = join(folder, 'bottle.plist');
  await writeFile(file, launchAgent(SPEC));
  const read = 'import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], "rb"))))';
  const { error, stdout } = spawnSync('python3', ['-c', read, file], { encoding: 'utf8' });
  if (error !== undefined) return context.skip('no python3 to read a property list with');
  expect(JSON.parse(stdout)).toEqual({
    Label: 'bottleworks.bottle',
    ProgramArguments: SPEC.command,
    EnvironmentVariables: SPEC.environment,
    RunAtLoad: true,
    KeepAlive: { SuccessfulExit: false },
    ExitTimeOut: 90,
    StandardOutPath: '/home/me/log',
    StandardErrorPath: '/home/me/log',
  });
});

describe('of an installation', () => {
  const of = (more: NodeJS.ProcessEnv, platform: NodeJS.Platform = 'linux') => {
    const env = { HOME: folder, PATH: '/usr/bin', ...more };
    return serviceOf(readSettings(env, { homedir: folder, hostname: 'here' }), env, platform);
  };

  test('it has what bottle reads of the environment, and no secret', () => {
    const { text } = of({
      BOTTLE_PORT: '7300',
      DOCKER_CONTEXT: 'colima',
      ANTHROPIC_API_KEY: 'sk-1',
      TEMPORAL_API_KEY: 'k',
    });
    for (const kept of ['"PATH=/usr/bin"', '"BOTTLE_PORT=7300"', '"DOCKER_CONTEXT=colima"'])
      expect(text).toContain(kept);
    expect(text).not.toMatch(/sk-1|API_KEY/);
  });

  test('another installation of the same user has another', () => {
    expect(of({}).name).toBe('bottle');
    expect(of({ BOTTLE_STATE: '/elsewhere' }).name).toMatch(/^bottle-[0-9a-f]{8}$/);
  });

  test('a Mac has a launch agent', () => {
    expect(of({}, 'darwin')).toMatchObject({
      manager: 'launchd',
      file: join(folder, 'Library/LaunchAgents/bottleworks.bottle.plist'),
    });
  });
});

describe('by a systemd that is played', () => {
  const service = () => ({
    manager: 'systemd' as const,
    name: 'bottle',
    file: join(folder, 'units/bottle.service'),
    text: 'v1',
  });
  const asked = async () => (await readFile(join(folder, 'asked'), 'utf8')).split('\n').filter((line) => line !== '');
  let rooms = 0;
  const makeRoom = async () => void rooms++;

  /** Active from the first `restart` on. */
  beforeEach(async () => {
    rooms = 0;
    await mkdir(join(folder, 'bin'));
    const script = `#!/bin/sh
case "$*" in
  *is-active*) test -e '${folder}/active'; exit;;
  *show-environment*) exit;;
  *restart*) : >'${folder}/active';;
  *disable*) rm '${folder}/active';;
esac
echo "$*" >>'${folder}/asked'
`;
    for (const name of ['systemctl', 'loginctl']) {
      await writeFile(join(folder, 'bin', name), script);
      await chmod(join(folder, 'bin', name), 0o755);
    }
    vi.stubEnv('PATH', `${folder}/bin:/usr/bin:/bin`);
  });

  test('installing writes it, starts it, and makes room for it; a second time does nothing', async () => {
    expect(await installService(service(), makeRoom)).toEqual([]);
    const first = ['--user daemon-reload', '--user enable bottle', '--user restart bottle', 'enable-linger'];
    expect(await asked()).toEqual(first);
    expect(await serviceState(service())).toEqual({ installed: true, current: true, running: true });
    expect(await installService(service(), makeRoom)).toEqual([]);
    expect(await asked()).toEqual(first);
    expect(rooms).toBe(1);
  });

  test('another text is written and started anew', async () => {
    await installService(service(), makeRoom);
    await installService({ ...service(), text: 'v2' }, makeRoom);
    expect(await readFile(service().file, 'utf8')).toBe('v2');
    expect((await asked()).filter((line) => line.includes('restart'))).toHaveLength(2);
  });

  test('removing stops it and leaves nothing; a second time does nothing', async () => {
    await installService(service(), makeRoom);
    expect(await removeService(service())).toBe(true);
    expect(await serviceState(service())).toEqual({ installed: false, current: false, running: false });
    expect(await removeService(service())).toBe(false);
  });
});

test('where nothing manages services, it says so, and nothing was written or stopped', async () => {
  vi.stubEnv('PATH', folder);
  const service = { manager: 'systemd' as const, name: 'bottle', file: join(folder, 'bottle.service'), text: 'x' };
  const makeRoom = vi.fn(async () => undefined);
  await expect(installService(service, makeRoom)).rejects.toMatchObject({
    code: 'TOOL_MISSING',
    message: expect.stringMatching(/^no service can be installed: /),
    hint: expect.stringContaining('bottle serve'),
  });
  expect(makeRoom).not.toHaveBeenCalled();
  expect(() => execFileSync('/bin/cat', [service.file], { stdio: 'ignore' })).toThrow();
});
