/**
 * An Engine that cannot keep a bottle closed is refused by name, before anything is started and by a worker that is there
 * already. Played here; `npm run test:engines` brings up the real ones and names them in BOTTLE_TEST_REFUSED_ENGINE.
 */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Installation, installation, isHeld, uniqueId } from '../support/installation.ts';
import { type EngineSocket, playedEngine } from '../support/recording-engine.ts';
import { type CommandLine, commandLine } from './command.ts';

const real = process.env['BOTTLE_TEST_REFUSED_ENGINE'];

/** What they say of themselves, as seen. */
const PLAYED = [
  [/Podman 5\.4\.2/, { Version: '5.4.2', Components: [{ Name: 'Podman Engine', Version: '5.4.2' }] }, {}],
  [
    /Docker Engine 28\.5\.2\+dfsg4 \(rootless\)/,
    { Version: '28.5.2+dfsg4', Components: [{ Name: 'Engine', Version: '28.5.2+dfsg4' }] },
    { SecurityOptions: ['name=seccomp,profile=builtin', 'name=rootless'], MemoryLimit: false, PidsLimit: false },
  ],
] as const;

const engines: [name: RegExp, open: () => Promise<Pick<EngineSocket, 'url' | 'close'>>][] =
  real === undefined
    ? PLAYED.map(([name, version, info]) => [
        name,
        () =>
          playedEngine(({ url = '' }, response) => {
            const documents = { version: { ...version, ApiVersion: '1.41', Os: 'linux', Arch: 'amd64' }, info };
            response.setHeader('Content-Type', 'application/json');
            response.end(JSON.stringify(documents[url.split('/').at(-1) as 'version' | 'info'] ?? []));
          }),
      ])
    : [[/(?:Podman|Docker Engine) \S+(?: \(rootless\))?/, async () => ({ url: real, close: async () => undefined })]];

describe.each(engines)('%s', (name, open) => {
  let engine: Pick<EngineSocket, 'url' | 'close'>;
  let cli: CommandLine;
  let it: Installation;
  const refusal = new RegExp(`^no bottle can run on ${name.source}: .+`);

  beforeAll(async () => {
    engine = await open();
    cli = await commandLine('refused');
    cli.write('agents/demo.md', '---\n---\n');
    it = await installation();
    it.env['DOCKER_HOST'] = engine.url;
    it.writeAgent('demo', '');
    await it.startWorker();
  });
  afterAll(async () => {
    await it?.dispose();
    await cli?.dispose();
    await engine?.close();
  });

  const withEngine = (args: string[]) => cli.bottle([...args, '--json'], { env: { DOCKER_HOST: engine.url } });

  test('is named by the doctor, with why', async () => {
    const { code, stdout } = await withEngine(['doctor']);
    const { checks } = JSON.parse(stdout) as { checks: object[] };
    expect(code).toBe(1);
    expect(checks).toContainEqual({
      name: 'Docker Engine',
      state: 'fail',
      found: expect.stringMatching(new RegExp(`^${name.source}, API .*: .+ (reach the host|of a machine)`)),
      hint: expect.stringMatching(/Docker Engine|cgroup/),
    });
  });

  test('is refused by up, which then has started nothing', async () => {
    const { code, stdout } = await withEngine(['up', 'demo']);
    expect([code, JSON.parse(stdout)]).toMatchObject([
      1,
      { error: { code: 'ENGINE_UNSUPPORTED', message: expect.stringMatching(refusal), hint: expect.any(String) } },
    ]);
    expect(existsSync(cli.state)).toBe(false);
  });

  test('holds a launch at its first step, at once', async () => {
    const id = uniqueId('refused');
    await it.launch(id, { agent: 'demo' });
    const { steps } = await it.waitFor(id, isHeld);
    expect(steps.filter(({ attempts }) => attempts > 0)).toMatchObject([
      {
        id: 'prepare',
        state: 'held',
        attempts: 1,
        error: { code: 'ENGINE_UNSUPPORTED', message: expect.stringMatching(refusal) },
      },
    ]);
    await it.client.workflow.getHandle(id).terminate();
  });
});
