/**
 * What every machine driver must do, whatever its machines are made of. A driver's own test file calls
 * {@link testMachineDriver} with the way to make one; nothing here knows Docker or smolvm. Where no machine can be started,
 * the cases that need one are left out, and how many is told.
 */
import { createHash, randomBytes } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, type RunnerTestSuite, test } from 'vitest';
import { seenFromMachine } from '../../src/core/machine-link.ts';
import { GUEST } from '../../src/core/plan.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import type { GuestFile, MachineDriver, MachineSpec, TerminalSize } from '../../src/host/machine/driver.ts';
import { run, sh } from '../support/docker-site.ts';

export interface MachineSubject {
  driver: MachineDriver;
  /** The same machines seen by another installation on this computer. */
  strangersDriver: MachineDriver;
  /** A new bottle with its network, and what its machine is to be made of. No machine yet. */
  prepare(id?: string): Promise<{ bottle: BottleRef; spec: MachineSpec }>;
  /** Ends the machine behind the driver's back, as a crash does. */
  crash(id: string): Promise<void>;
  /** Another one for each machine that was made, also of one bottle; undefined when there is none. */
  identity(id: string): Promise<string | undefined>;
  dispose(): Promise<void>;
}

export interface Surroundings {
  /** Why no machine can be started here; absent where one can. */
  noneBoots?: string;
}

export function testMachineDriver(
  name: string,
  setUp: () => Promise<MachineSubject>,
  { noneBoots }: Surroundings = {},
): void {
  const boots = noneBoots === undefined;
  const describeBooted = describe.skipIf(!boots);

  describe(`machine driver ${name}`, () => {
    let subject: MachineSubject;
    let driver: MachineDriver;
    /** One machine for all that leaves it as it was; it runs, where one can. */
    let shared: { bottle: BottleRef; spec: MachineSpec };
    let id: string;

    beforeAll(async () => {
      subject = await setUp();
      driver = subject.driver;
      shared = await subject.prepare();
      id = shared.bottle.id;
      await driver.create(shared.bottle, shared.spec);
      if (boots) await driver.start(shared.bottle);
    });
    // biome-ignore lint/correctness/noEmptyPattern: Vitest wants a pattern where the fixtures are, of which we have none.
    afterAll(async ({}, suite) => {
      await subject?.dispose();
      tell(name, suite, noneBoots);
    });

    /** Bottles of the case that runs: with it their machines end, since each takes memory for as long as it runs. */
    const ofThisCase: string[] = [];
    afterEach(() => Promise.all(ofThisCase.splice(0).map((each) => driver.delete(each))));

    async function prepare(wanted?: string): Promise<{ bottle: BottleRef; spec: MachineSpec }> {
      const made = await subject.prepare(wanted);
      ofThisCase.push(made.bottle.id);
      return made;
    }

    async function freshMachine(): Promise<{ bottle: BottleRef; spec: MachineSpec; id: string }> {
      const { bottle, spec } = await prepare();
      await driver.create(bottle, spec);
      return { bottle, spec, id: bottle.id };
    }

    describe('record', () => {
      test('is absent, created, and absent again', async () => {
        const { bottle, spec } = await prepare();
        expect(await driver.status(bottle.id)).toBe('absent');
        await driver.create(bottle, spec);
        expect(await driver.status(bottle.id)).toBe('created');
        await driver.stop(bottle.id);
        expect(await driver.status(bottle.id)).toBe('created');
        await driver.delete(bottle.id);
        expect(await driver.status(bottle.id)).toBe('absent');
        expect(await subject.identity(bottle.id)).toBeUndefined();
      });

      test('create run again adopts what is there', async () => {
        const { bottle, spec } = await freshMachine();
        const made = await subject.identity(bottle.id);
        expect(made).toBeDefined();
        await driver.create(bottle, structuredClone(spec));
        expect(await subject.identity(bottle.id)).toBe(made);
      });

      const other: [string, (spec: MachineSpec) => MachineSpec][] = [
        ['another environment', (spec) => ({ ...spec, env: { ...spec.env, GENERATION: 'two' } })],
        ['more memory', (spec) => ({ ...spec, resources: { ...spec.resources, memoryMiB: 2048 } })],
        ['another bundle', (spec) => ({ ...spec, network: { ...spec.network, bundleIp: spec.network.machineIp } })],
      ];
      test.each(other)('a machine made from %s is replaced', async (_what, change) => {
        const { bottle, spec } = await freshMachine();
        const made = await subject.identity(bottle.id);
        await driver.create(bottle, change(spec));
        expect(await subject.identity(bottle.id)).not.toBe(made);
        expect(await driver.status(bottle.id)).toBe('created');
      });

      test("another run's leftover is made anew, even when it looks the same", async () => {
        const { bottle, spec } = await freshMachine();
        const made = await subject.identity(bottle.id);
        await driver.create({ ...bottle, runId: 'another-run' }, spec);
        expect(await subject.identity(bottle.id)).not.toBe(made);
      });

      test('an undo that comes late, of an earlier launch of the same id, leaves the machine alone', async () => {
        const { bottle } = await freshMachine();
        const made = await subject.identity(bottle.id);
        await driver.stop(bottle.id, 'an-earlier-run');
        await driver.delete(bottle.id, 'an-earlier-run');
        expect(await subject.identity(bottle.id)).toBe(made);
        await driver.delete(bottle.id, bottle.runId);
        expect(await driver.status(bottle.id)).toBe('absent');
      });

      test('two creates at once, as of an attempt and its killed predecessor, end with one machine', async () => {
        const { bottle, spec } = await prepare();
        await Promise.all([driver.create(bottle, spec), driver.create(bottle, spec)]);
        expect(await driver.status(bottle.id)).toBe('created');
      });

      test('a delete right behind a create, and two deletes at once, leave nothing', async () => {
        const { bottle, spec } = await prepare();
        await driver.create(bottle, spec);
        await Promise.all([driver.delete(bottle.id), driver.delete(bottle.id)]);
        expect(await driver.status(bottle.id)).toBe('absent');
        await driver.create(bottle, spec);
        expect(await driver.status(bottle.id)).toBe('created');
      });

      test('stop and delete of what is not there are fine, as often as one likes', async () => {
        const { bottle } = await freshMachine();
        await driver.stop(bottle.id);
        await driver.delete(bottle.id);
        await driver.delete(bottle.id);
        await driver.stop(bottle.id);
        expect(await driver.status(bottle.id)).toBe('absent');
      });

      test('an image that is not there is said to be missing, and nothing is made', async () => {
        const { bottle, spec } = await prepare();
        const missing = { ...spec, image: 'bottleworks/guest:no-such-image' };
        await expect(driver.create(bottle, missing)).rejects.toMatchObject({ code: 'IMAGE_MISSING' });
        expect(await driver.status(bottle.id)).toBe('absent');
      });

      test('start of a machine that is not there says so', async () => {
        const { bottle } = await prepare();
        await expect(driver.start(bottle)).rejects.toMatchObject({ code: 'MACHINE_NOT_RUNNING' });
        expect(await driver.status(bottle.id)).toBe('absent');
      });

      test('what does not run is not waited for', async () => {
        const never = new AbortController().signal;
        const { bottle, spec } = await prepare();
        await driver.untilStopped(bottle.id, never);
        await driver.create(bottle, spec);
        await driver.untilStopped(bottle.id, never);
        expect(await driver.status(bottle.id)).toBe('created');
      });

      test('a start or create that is called off before it begins does nothing', async () => {
        const { bottle, spec } = await prepare();
        const reason = new Error('called off');
        const signal = AbortSignal.abort(reason);
        await expect(driver.create(bottle, spec, signal)).rejects.toBe(reason);
        expect(await driver.status(bottle.id)).toBe('absent');
        await driver.create(bottle, spec);
        await expect(driver.start(bottle, signal)).rejects.toBe(reason);
        expect(await driver.status(bottle.id)).toBe('created');
      });

      test('a command in a machine that was not started, or is not there, says so', async () => {
        const { bottle } = await freshMachine();
        const notRunning = { code: 'MACHINE_NOT_RUNNING' };
        await expect(run(driver, bottle.id, ['true'])).rejects.toMatchObject(notRunning);
        await driver.delete(bottle.id);
        await expect(run(driver, bottle.id, ['true'])).rejects.toMatchObject(notRunning);
        await expect(driver.putFiles(bottle.id, [])).rejects.toMatchObject(notRunning);
        expect(await driver.status(bottle.id)).toBe('absent');
      });

      test('an id of forty characters works', async () => {
        const longest = `m${randomBytes(20).toString('hex').slice(0, 39)}`;
        const { bottle, spec } = await prepare(longest);
        await driver.create(bottle, spec);
        expect(await driver.status(longest)).toBe('created');
      });

      test("another installation's machine is neither seen, nor entered, nor removed", async () => {
        const stranger = subject.strangersDriver;
        const { bottle, spec } = await freshMachine();
        const made = await subject.identity(bottle.id);
        expect(await stranger.status(bottle.id)).toBe('absent');
        await expect(stranger.create(bottle, spec)).rejects.toMatchObject({ code: 'NAME_TAKEN' });
        await expect(stranger.start(bottle)).rejects.toMatchObject({ code: 'NAME_TAKEN' });
        await expect(run(stranger, bottle.id, ['true'])).rejects.toMatchObject({ code: 'NAME_TAKEN' });
        await expect(stranger.putFiles(bottle.id, [])).rejects.toMatchObject({ code: 'NAME_TAKEN' });
        await stranger.stop(bottle.id);
        await stranger.delete(bottle.id);
        expect(await subject.identity(bottle.id)).toBe(made);
      });
    });

    describeBooted('life', () => {
      test('goes from absent to created, running, stopped, running and absent', async () => {
        const { bottle, spec } = await prepare();
        expect(await driver.status(bottle.id)).toBe('absent');
        await driver.create(bottle, spec);
        expect(await driver.status(bottle.id)).toBe('created');
        await driver.start(bottle);
        expect(await driver.status(bottle.id)).toBe('running');
        await driver.stop(bottle.id);
        expect(await driver.status(bottle.id)).toBe('stopped');
        await driver.start(bottle);
        expect(await driver.status(bottle.id)).toBe('running');
        await driver.delete(bottle.id);
        expect(await driver.status(bottle.id)).toBe('absent');
      });

      test.each<[string, (id: string) => Promise<void>]>([
        ['crash', (each) => subject.crash(each)],
        ['stop', (each) => driver.stop(each)],
        ['delete', (each) => driver.delete(each)],
      ])('its end by a %s is heard of, and no end is while it runs', async (_how, end) => {
        const { bottle, id } = await freshMachine();
        await driver.start(bottle);
        let heard = false;
        const waiting = driver.untilStopped(id, new AbortController().signal).then(() => {
          heard = true;
        });
        await sleep(1500);
        expect(heard).toBe(false);
        await end(id);
        await expect.poll(() => heard).toBe(true);
        await waiting;
        expect(await driver.status(id)).not.toBe('running');
      });

      test('who no longer waits for its end is let go at once', async () => {
        const controller = new AbortController();
        const reason = new Error('no longer');
        const waiting = driver.untilStopped(id, controller.signal);
        waiting.catch(() => undefined);
        await sleep(300);
        controller.abort(reason);
        await expect(waiting).rejects.toBe(reason);
        expect(await driver.status(id)).toBe('running');
      });

      test('create and start run again change nothing: what was written in it is still there', async () => {
        await sh(driver, id, 'echo kept > kept');
        await driver.create(shared.bottle, shared.spec);
        await driver.start(shared.bottle);
        expect(await sh(driver, id, 'cat kept')).toMatchObject({ exitCode: 0, stdout: 'kept\n' });
      });

      test('a machine made from another spec is replaced', async () => {
        const { bottle, spec } = await freshMachine();
        await driver.start(bottle);
        await sh(driver, bottle.id, 'touch old');
        await driver.create(bottle, { ...spec, env: { ...spec.env, GENERATION: 'two' } });
        expect(await driver.status(bottle.id)).toBe('created');
        await driver.start(bottle);
        expect(await sh(driver, bottle.id, 'ls; echo $GENERATION')).toMatchObject({ stdout: 'two\n' });
      });

      test("another run's leftover is replaced, even when it looks the same", async () => {
        const { bottle, spec } = await freshMachine();
        await driver.start(bottle);
        await sh(driver, bottle.id, 'touch old');
        const next = { ...bottle, runId: 'another-run' };
        await driver.create(next, spec);
        await driver.start(next);
        expect(await sh(driver, bottle.id, 'ls')).toMatchObject({ exitCode: 0, stdout: '' });
      });

      test('create after a crash leaves it to start to bring the same machine back', async () => {
        const { bottle, spec } = await freshMachine();
        await driver.start(bottle);
        await sh(driver, bottle.id, 'echo kept > kept');
        await subject.crash(bottle.id);
        expect(await driver.status(bottle.id)).toBe('stopped');
        await driver.create(bottle, spec);
        await driver.start(bottle);
        expect(await sh(driver, bottle.id, 'cat kept')).toMatchObject({ stdout: 'kept\n' });
      });

      test('two starts at once, as of an attempt and its killed predecessor, end with one machine', async () => {
        const { bottle } = await freshMachine();
        await Promise.all([driver.start(bottle), driver.start(bottle)]);
        expect(await driver.status(bottle.id)).toBe('running');
        expect(await run(driver, bottle.id, ['true'])).toMatchObject({ exitCode: 0 });
      });

      test('a running machine is deleted without being stopped first', async () => {
        const { bottle } = await freshMachine();
        await driver.start(bottle);
        await driver.delete(bottle.id);
        expect(await driver.status(bottle.id)).toBe('absent');
      });

      test('an id of forty characters works', async () => {
        const longest = `l${randomBytes(20).toString('hex').slice(0, 39)}`;
        const { bottle, spec } = await prepare(longest);
        await driver.create(bottle, spec);
        await driver.start(bottle);
        expect(await run(driver, longest, ['echo', 'here'])).toMatchObject({ stdout: 'here\n' });
      });

      test("another installation's machine is neither seen, nor entered, nor removed", async () => {
        const stranger = subject.strangersDriver;
        expect(await stranger.status(id)).toBe('absent');
        await expect(stranger.create(shared.bottle, shared.spec)).rejects.toMatchObject({ code: 'NAME_TAKEN' });
        await expect(run(stranger, id, ['true'])).rejects.toMatchObject({ code: 'NAME_TAKEN' });
        await expect(stranger.putFiles(id, [])).rejects.toMatchObject({ code: 'NAME_TAKEN' });
        await stranger.stop(id);
        await stranger.delete(id);
        expect(await driver.status(id)).toBe('running');
      });
    });

    describeBooted('exec', () => {
      test('runs as the agent, in the workspace, unless told otherwise', async () => {
        const here = await sh(driver, id, 'id -un; id -u; pwd; echo $HOME');
        expect(here.stdout).toBe(`${GUEST.user}\n${GUEST.uid}\n${GUEST.workspace}\n${GUEST.home}\n`);
        const there = await sh(driver, id, 'id -u; pwd', { user: 'root', workdir: '/tmp' });
        expect(there).toEqual({ exitCode: 0, stdout: '0\n/tmp\n', stderr: '' });
      });

      test('finds egress by its name where its bundle is, also after it was started again', async () => {
        const { bundleIp } = seenFromMachine(shared.spec.network, shared.spec.link);
        const known = async () => (await sh(driver, id, "getent ahosts egress | awk '{ print $1 }' | sort -u")).stdout;
        expect(await known()).toBe(`${bundleIp}\n`);
        await driver.stop(id);
        await driver.start(shared.bottle);
        expect(await known()).toBe(`${bundleIp}\n`);
        expect((await sh(driver, id, 'grep -c egress /etc/hosts')).stdout).toBe('1\n');
      });

      test("has the machine's environment, and its own above it", async () => {
        const { stdout } = await sh(driver, id, 'echo "$HTTPS_PROXY|$LANG|$MINE"', {
          env: { LANG: 'C', MINE: 'a=b "c"\nd' },
        });
        expect(stdout).toBe(`${shared.spec.env['HTTPS_PROXY']}|C|a=b "c"\nd\n`);
      });

      test('passes every argument as it is', async () => {
        const argv = ['', ' ', "'", '"', '\\', '$HOME', '`id`', 'two\nlines', '-n', '*', 'ünï → 🍾', ';rm'];
        const { stdout } = await run(driver, id, ['printf', '%s\\0', ...argv]);
        expect(stdout.split('\0').slice(0, -1)).toEqual(argv);
      });

      test.each([
        [0, ['true']],
        [1, ['false']],
        [42, ['sh', '-c', 'exit 42']],
        [255, ['sh', '-c', 'exit 255']],
        [137, ['sh', '-c', 'kill -KILL $$']],
        [143, ['sh', '-c', 'kill -TERM $$']],
        [126, ['/etc/passwd']],
        [127, ['no-such-program']],
        [127, ['/no/such/program']],
      ])('gives exit code %i for %j', async (exitCode, argv) => {
        expect(await run(driver, id, argv)).toMatchObject({ exitCode });
      });

      test('keeps both streams apart and loses nothing of 10 MB on each', async () => {
        const size = 10_000_000;
        const { exitCode, stdout, stderr } = await sh(
          driver,
          id,
          `head -c ${size} /dev/zero | tr '\\0' o & head -c ${size} /dev/zero | tr '\\0' e >&2; wait; printf end; printf end >&2`,
        );
        expect(exitCode).toBe(0);
        expect([stdout.length, stderr.length]).toEqual([size + 3, size + 3]);
        expect([/^o+end$/.test(stdout), /^e+end$/.test(stderr)]).toEqual([true, true]);
      });

      test('waits for a reader that is slow, without dropping anything', async () => {
        const stdout = new PassThrough({ highWaterMark: 1024 });
        const done = driver.exec(id, {
          argv: ['sh', '-c', 'seq 1 200000'],
          stdout,
          stderr: new PassThrough().resume(),
        });
        await sleep(500);
        // Most of it still waits in the machine, not in this process.
        expect(stdout.writableLength).toBeLessThan(300_000);
        let text = '';
        stdout.on('data', (chunk: Buffer) => {
          text += chunk;
        });
        expect(await done).toEqual({ exitCode: 0 });
        await expect.poll(() => text.length).toBe(1_288_895);
        expect(text.endsWith('199999\n200000\n')).toBe(true);
      });

      test('gives binary input byte for byte, also 5 MB of it', async () => {
        const bytes = randomBytes(5_000_000);
        const { stdout } = await run(driver, id, ['sha256sum'], { stdin: bytes });
        expect(stdout.slice(0, 64)).toBe(createHash('sha256').update(bytes).digest('hex'));
      });

      test('ends empty input at once, and gives an empty one where there is none', async () => {
        expect(await run(driver, id, ['cat'], { stdin: '' })).toMatchObject({ exitCode: 0, stdout: '' });
        expect(await run(driver, id, ['cat'])).toMatchObject({ exitCode: 0, stdout: '' });
      });

      test('ends when the command ends, though its input goes on', async () => {
        const stdin = new PassThrough();
        stdin.write('first\nsecond\n');
        const stdout = new PassThrough();
        const { exitCode } = await driver.exec(id, { argv: ['head', '-n1'], stdin, stdout, stderr: new PassThrough() });
        expect(exitCode).toBe(0);
        expect(String(stdout.read())).toBe('first\n');
        stdin.write('nobody reads this any more\n');
        expect(stdin.destroyed).toBe(false);
      });

      test('runs many at once without mixing them up', async () => {
        const numbers = Array.from({ length: 8 }, (_, index) => index);
        const results = await Promise.all(
          numbers.map((n) =>
            sh(driver, id, `cat; echo out-${n}; echo err-${n} >&2; exit ${n}`, { stdin: `in-${n}\n` }),
          ),
        );
        expect(results).toEqual(
          numbers.map((n) => ({ exitCode: n, stdout: `in-${n}\nout-${n}\n`, stderr: `err-${n}\n` })),
        );
      });

      test('fails with MACHINE_NOT_RUNNING in a machine that is stopped, or not there', async () => {
        const { bottle } = await freshMachine();
        const notRunning = { code: 'MACHINE_NOT_RUNNING' };
        await expect(run(driver, bottle.id, ['true'])).rejects.toMatchObject(notRunning);
        await driver.start(bottle);
        await driver.stop(bottle.id);
        await expect(run(driver, bottle.id, ['true'])).rejects.toMatchObject(notRunning);
        await driver.delete(bottle.id);
        await expect(run(driver, bottle.id, ['true'])).rejects.toMatchObject(notRunning);
      });

      test('never reports success for a command that went down with its machine', async () => {
        const { bottle } = await freshMachine();
        await driver.start(bottle);
        const stdout = new PassThrough();
        const ended = driver.exec(bottle.id, {
          argv: ['sh', '-c', 'echo up; sleep 600'],
          stdout,
          stderr: new PassThrough(),
        });
        const outcome = ended.then(
          ({ exitCode }) => exitCode !== 0,
          (error: { code?: string }) => error.code === 'MACHINE_NOT_RUNNING',
        );
        await expect.poll(() => String(stdout.read() ?? '')).toContain('up');
        await subject.crash(bottle.id);
        expect(await outcome).toBe(true);
      });
    });

    describeBooted('terminal', () => {
      const terminal = (size: TerminalSize) => {
        const listeners: ((size: TerminalSize) => void)[] = [];
        return {
          request: { ...size, onResize: (callback: (size: TerminalSize) => void) => void listeners.push(callback) },
          resize: (next: TerminalSize) => {
            for (const listener of listeners) listener(next);
          },
        };
      };

      test('is a terminal of the size asked for, on one stream', async () => {
        const { request } = terminal({ columns: 101, rows: 37 });
        // The size may arrive a moment after the command has started.
        const script = 'test -t 0 && test -t 1 && test -t 2 && sleep 0.3 && stty size; echo both >&2';
        const seen = await sh(driver, id, script, { terminal: request, stdin: '' });
        expect(seen).toEqual({ exitCode: 0, stdout: '37 101\r\nboth\r\n', stderr: '' });
      });

      test('without one, nothing is a terminal', async () => {
        expect(await sh(driver, id, 'test -t 0 || test -t 1 || test -t 2')).toMatchObject({ exitCode: 1 });
      });

      test('tells the command when its size changes', async () => {
        const { request, resize } = terminal({ columns: 80, rows: 24 });
        const stdout = new PassThrough();
        let text = '';
        stdout.on('data', (chunk: Buffer) => {
          text += chunk;
        });
        const script =
          'trap "echo told" WINCH; echo waiting; until [ "$(stty size)" = "50 132" ]; do sleep 0.05; done; sleep 0.2';
        const done = driver.exec(id, {
          argv: ['bash', '-c', script],
          terminal: request,
          stdin: new PassThrough(),
          stdout,
          stderr: new PassThrough(),
        });
        await expect.poll(() => text).toContain('waiting');
        resize({ columns: 132, rows: 50 });
        expect(await done).toEqual({ exitCode: 0 });
        expect(text).toContain('told');
      });

      test('takes what is typed, control characters included', async () => {
        const stdin = new PassThrough();
        const stdout = new PassThrough();
        let text = '';
        stdout.on('data', (chunk: Buffer) => {
          text += chunk;
        });
        const done = driver.exec(id, {
          argv: ['bash', '-c', 'read -r line; echo "<$line>"; sleep 600'],
          terminal: { columns: 80, rows: 24 },
          stdin,
          stdout,
          stderr: new PassThrough(),
        });
        stdin.write('hello\r');
        await expect.poll(() => text).toContain('<hello>');
        stdin.write('\u0003');
        expect(await done).toEqual({ exitCode: 130 });
      });
    });

    describeBooted('abort', () => {
      const marker = (): string => `91${Math.floor(Math.random() * 1e7)}`;
      /** Processes in the machine whose command line has that marker as an argument of its own. */
      const alive = async (seconds: string): Promise<number> => {
        const script = `n=0; for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/cmdline 2>/dev/null | grep -qx "$1" && [ "\${p#/proc/}" != $$ ] && n=$((n+1)); done; echo $n`;
        return Number((await run(driver, id, ['sh', '-c', script, 'sh', seconds])).stdout);
      };

      test.each([
        ['the command', 'exec sleep $M'],
        ['its children', 'sleep $M & sleep $M & wait'],
        ['children that no longer carry its environment', 'env -i sleep $M & wait'],
        ['children in a session of their own', 'setsid sleep $M & wait'],
        ['what ignores being asked', 'trap "" TERM; sleep $M; sleep $M'],
      ])('kills %s', async (_what, script) => {
        const seconds = marker();
        const controller = new AbortController();
        const reason = new Error('enough');
        const stdout = new PassThrough();
        const done = driver.exec(id, {
          argv: ['sh', '-c', `echo up; ${script}`],
          env: { M: seconds },
          stdout,
          stderr: new PassThrough(),
          signal: controller.signal,
        });
        done.catch(() => undefined);
        await expect.poll(() => String(stdout.read() ?? '')).toContain('up');
        await expect.poll(() => alive(seconds)).toBeGreaterThan(0);
        controller.abort(reason);
        await expect(done).rejects.toBe(reason);
        expect(await alive(seconds)).toBe(0);
      });

      test('leaves every other command alone', async () => {
        const other = sh(driver, id, 'sleep 2; echo whole');
        const controller = new AbortController();
        const ended = sh(driver, id, 'sleep 600', { signal: controller.signal });
        ended.catch(() => undefined);
        await sleep(300);
        controller.abort();
        await expect(ended).rejects.toThrow();
        expect(await other).toMatchObject({ exitCode: 0, stdout: 'whole\n' });
      });

      test('before or while the command starts, lets nothing run on', async () => {
        const seconds = marker();
        await expect(run(driver, id, ['sleep', seconds], { signal: AbortSignal.abort() })).rejects.toThrow();
        for (const delay of [0, 5, 15, 30, 60]) {
          const signal = AbortSignal.timeout(delay);
          await expect(run(driver, id, ['sleep', seconds], { signal })).rejects.toThrow();
        }
        expect(await alive(seconds)).toBe(0);
      });
    });

    describeBooted('putFiles', () => {
      const put = (...files: GuestFile[]): Promise<void> => driver.putFiles(id, files);
      const stat = async (...paths: string[]): Promise<string[]> =>
        (await run(driver, id, ['stat', '-c', '%n %a %U %G %s %F', ...paths])).stdout.trim().split('\n');

      test('writes modes and owners as asked, the agent being the default', async () => {
        const content = Buffer.from('x\n');
        const at = `${GUEST.home}/modes`;
        await put(
          { path: at, mode: 0o750 },
          { path: `${at}/secret`, mode: 0o600, content },
          { path: `${at}/tool`, mode: 0o755, content },
          { path: `${at}/theirs`, mode: 0o644, content, owner: 'root' },
          { path: `${at}/empty`, mode: 0o644, content: Buffer.alloc(0) },
        );
        expect(await stat(at, ...['secret', 'tool', 'theirs', 'empty'].map((name) => `${at}/${name}`))).toEqual([
          expect.stringMatching(/modes 750 agent agent \d+ directory$/),
          `${at}/secret 600 agent agent 2 regular file`,
          `${at}/tool 755 agent agent 2 regular file`,
          `${at}/theirs 644 root root 2 regular file`,
          `${at}/empty 644 agent agent 0 regular empty file`,
        ]);
      });

      test('overwrites content and mode of what is there, and touches nothing beside it', async () => {
        const file = (name: string, text: string, mode: number): GuestFile => ({
          path: `${GUEST.home}/over/${name}`,
          content: Buffer.from(text),
          mode,
        });
        await put(file('a', 'a long first version', 0o600), file('b', 'beside', 0o644));
        await put(file('a', 'short', 0o644));
        expect((await sh(driver, id, `cat ${GUEST.home}/over/a ${GUEST.home}/over/b`)).stdout).toBe('shortbeside');
        expect(await stat(`${GUEST.home}/over/a`)).toEqual([`${GUEST.home}/over/a 644 agent agent 5 regular file`]);
      });

      test('makes deep folders, and takes names of any length and script', async () => {
        const deep = `${GUEST.workspace}/${'d'.repeat(90)}/${'e'.repeat(90)}/ü n ï/-dash/${'f'.repeat(120)} 🍾.txt`;
        await put({ path: deep, content: Buffer.from('found'), mode: 0o644 });
        expect(await run(driver, id, ['cat', deep])).toMatchObject({ exitCode: 0, stdout: 'found' });
      });

      test('writes 10 MB byte for byte', async () => {
        const content = randomBytes(10_000_000);
        await put({ path: `${GUEST.home}/large`, content, mode: 0o644 });
        const { stdout } = await run(driver, id, ['sha256sum', `${GUEST.home}/large`]);
        expect(stdout.slice(0, 64)).toBe(createHash('sha256').update(content).digest('hex'));
      });
    });
  });
}

/** How many cases ran; where some were left out, why. */
function tell(name: string, suite: Pick<RunnerTestSuite, 'tasks'>, noneBoots: string | undefined): void {
  const cases = casesOf(suite);
  const leftOut = cases.filter(({ mode }) => mode === 'skip').length;
  const why = noneBoots === undefined ? '' : `, which need a machine that has started: ${noneBoots}`;
  console.info(
    `machine driver ${name}: ${cases.length - leftOut} of ${cases.length} cases ran${leftOut === 0 ? '' : `; left out ${leftOut}${why}`}`,
  );
}

function casesOf({ tasks }: Pick<RunnerTestSuite, 'tasks'>): { mode: string }[] {
  return tasks.flatMap((task) => (task.type === 'suite' ? casesOf(task) : [task]));
}
