/** With real processes: whatever a program does, it comes to an end, and says nothing that it should not. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rememberSecret } from '../../../src/host/scrub.ts';
import { resolveSecrets, type SecretSources } from '../../../src/host/secrets.ts';

let directory: string;
const at = (name: string): string => path.join(directory, name);
beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-secret-command-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const command = (argv: string[], time = ''): string => `command${time}:${JSON.stringify(argv)}`;
const sh = (script: string, time?: string): string => command(['sh', '-c', script], time);

const secretOf = async (reference: string, sources?: SecretSources): Promise<string | undefined> =>
  (await resolveSecrets([reference], sources)).get(reference);

/** What is said of one reference that cannot be read: the reference, then why. */
async function failureOf(reference: string, sources?: SecretSources): Promise<{ why: string; hint: string }> {
  const error = (await secretOf(reference, sources).catch((caught: unknown) => caught)) as Error & { hint: string };
  expect(error).toMatchObject({ code: 'SECRET_MISSING' });
  const start = `no secret at ${reference} (`;
  expect(error.message.startsWith(start)).toBe(true);
  return { why: error.message.slice(start.length, -1), hint: error.hint };
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    // One that its parent has not taken note of yet is dead.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

async function untilGone(file: string): Promise<void> {
  const pids = readFileSync(file, 'utf8').trim().split(/\s+/).map(Number);
  expect(pids.length).toBeGreaterThan(0);
  for (let tries = 0; tries < 200 && pids.some(isAlive); tries++) await sleep(10);
  expect(pids.filter(isAlive)).toEqual([]);
}

describe('a command gives what it prints', () => {
  test('without one line end, and nothing else of it is taken away', async () => {
    expect(await secretOf(sh('printf key'))).toBe('key');
    expect(await secretOf(sh('echo key'))).toBe('key');
    expect(await secretOf(sh("printf ' two\\nlines \\r\\n\\r\\n'"))).toBe(' two\nlines \r\n');
    expect(await secretOf(sh('printf ☂'))).toBe('☂');
  });

  test('with its arguments as they are, never by a shell', async () => {
    expect(await secretOf(command(['printf', '%s|', '$HOME', '*', 'a b', '; echo x', '']))).toBe(
      '$HOME|*|a b|; echo x||',
    );
  });

  test("in the worker's environment, and from nowhere", async () => {
    const env = { PATH: process.env['PATH'], NAME: 'a value' };
    expect(await secretOf(sh('printf "%s in %s" "$NAME" "$PWD"'), { env })).toBe('a value in /');
    expect(await secretOf(sh('env | grep -c ^HOME= || true'), { env })).toBe('0');
  });

  test('without any input or terminal to ask at', async () => {
    expect(await secretOf(sh('cat; echo end'))).toBe('end');
    expect(await secretOf(sh('(: < /dev/tty) 2>/dev/null || echo none'))).toBe('none');
  });

  test('of a program below the home directory', async () => {
    writeFileSync(at('get-key'), '#!/bin/sh\necho "key of $1"\n');
    chmodSync(at('get-key'), 0o755);
    expect(await secretOf(command([at('get-key'), 'me']))).toBe('key of me');
    const home = process.env['HOME'];
    process.env['HOME'] = directory;
    try {
      expect(await secretOf(command(['~/get-key', 'me']))).toBe('key of me');
    } finally {
      if (home === undefined) delete process.env['HOME'];
      else process.env['HOME'] = home;
    }
  });

  test('of up to 64 KiB', async () => {
    const most = 64 * 1024;
    expect((await secretOf(sh(`head -c ${most} /dev/zero | tr '\\0' x`)))?.length).toBe(most);
    expect(await failureOf(sh(`head -c ${most + 1} /dev/zero | tr '\\0' x`))).toMatchObject({
      why: 'printed more than 64 KiB',
    });
  });

  test('once for all who refer to it, and all at the same time', async () => {
    const count = sh(`echo run >> ${at('runs')}; sleep 0.5; echo key`);
    const others = ['1', '2', '3', '4'].map((n) => sh(`sleep 0.5; echo ${n}`));
    const start = performance.now();
    const secrets = await resolveSecrets([count, ...others, count]);
    expect(performance.now() - start).toBeLessThan(1500);
    expect([...secrets.values()]).toEqual(['key', '1', '2', '3', '4']);
    expect(readFileSync(at('runs'), 'utf8')).toBe('run\n');
  });
});

describe('a command that gives nothing is told with why,', () => {
  const hint = 'run it yourself: it must print the secret and nothing else, and ask nothing; then retry';

  test('not to be found', async () => {
    const found = await failureOf(command(['no-such-program', 'x']));
    expect(found.why).toBe('no-such-program is not found on PATH');
    expect(found.hint).toMatch(/^install it, or name it by its absolute path; .*PATH.* bottle serve/);
    expect(await failureOf(command(['/no/such/program']))).toMatchObject({ why: 'no program at /no/such/program' });
    expect(await failureOf(sh('echo key'), { env: { PATH: directory } })).toMatchObject({
      why: 'sh is not found on PATH',
    });
  });

  test('not to be run', async () => {
    writeFileSync(at('not-executable'), 'x');
    expect(await failureOf(command([at('not-executable')]))).toEqual({
      why: `${at('not-executable')} cannot be run (EACCES)`,
      hint,
    });
  });

  test('a failure, a signal, nothing printed', async () => {
    expect(await failureOf(sh('echo no such item >&2; exit 3'))).toEqual({ why: 'exit code 3: no such item', hint });
    expect(await failureOf(sh('exit 4'))).toEqual({ why: 'exit code 4', hint });
    expect(await failureOf(sh('kill -SEGV $$'))).toEqual({ why: 'ended by SIGSEGV', hint });
    expect(await failureOf(sh('true'))).toEqual({ why: 'printed nothing', hint });
    expect(await failureOf(sh('echo; echo not signed in >&2'))).toEqual({
      why: 'printed nothing: not signed in',
      hint,
    });
  });

  test('all of them in one', async () => {
    const references = [sh('exit 1'), sh('exit 2'), 'env:NONE', sh('echo fine')];
    await expect(resolveSecrets(references, { env: { PATH: process.env['PATH'] } })).rejects.toMatchObject({
      message: `no secret at ${references[0]} (exit code 1), ${references[1]} (exit code 2), env:NONE (the variable is not set)`,
      hint: `${hint}; export it, then retry from the same shell (bottle serve --restart gives a worker its environment); or refer to a file`,
    });
  });
});

describe('a command that does not end is ended, with all that it started,', () => {
  test.each([
    ['that hangs', (pids: string) => `echo $$ > ${pids}; sleep 600`],
    ['that ignores signals', (pids: string) => `trap '' TERM INT HUP; echo $$ > ${pids}; while :; do sleep 1; done`],
    ['that printed it but goes on', (pids: string) => `echo key; echo $$ > ${pids}; sleep 600`],
    ['whose child ignores signals', (pids: string) => `(trap '' TERM; sleep 600) & echo $$ $! > ${pids}; wait`],
  ])('%s', async (name, script) => {
    const pids = at(`pids-${name.length}`);
    const start = performance.now();
    expect(await failureOf(sh(script(pids), '(1s)'))).toMatchObject({ why: 'timed out after 1s' });
    expect(performance.now() - start).toBeLessThan(3000);
    await untilGone(pids);
  });

  test('when the step is cancelled', async () => {
    const stopping = new AbortController();
    const reading = secretOf(sh(`echo $$ > ${at('cancelled')}; sleep 600`), { signal: stopping.signal });
    const outcome = expect(reading).rejects.toThrow('the step is cancelled');
    while (!existsSync(at('cancelled')) || readFileSync(at('cancelled'), 'utf8') === '') await sleep(10);
    const start = performance.now();
    stopping.abort(new Error('the step is cancelled'));
    await outcome;
    expect(performance.now() - start).toBeLessThan(2000);
    await untilGone(at('cancelled'));
    await expect(secretOf(sh('echo key'), { signal: stopping.signal })).rejects.toThrow('the step is cancelled');
  });

  test('and one that prints without end', async () => {
    expect(await failureOf(sh(`echo $$ > ${at('endless')}; yes`))).toMatchObject({ why: 'printed more than 64 KiB' });
    await untilGone(at('endless'));
    expect(await failureOf(sh('head -c 1000000 /dev/zero | tr "\\0" x'))).toMatchObject({
      why: 'printed more than 64 KiB',
    });
    expect(await secretOf(sh('head -c 1000000 /dev/zero >&2; echo key'))).toBe('key');
  });
});

describe('a command that has ended is not waited for', () => {
  test('while its child keeps its output open, which ends too', async () => {
    const start = performance.now();
    expect(await secretOf(sh(`sleep 600 & echo $! > ${at('left')}; echo key`))).toBe('key');
    expect(performance.now() - start).toBeLessThan(2000);
    await untilGone(at('left'));
  });

  test('while a daemon it started does, which lives on', async () => {
    const start = performance.now();
    const script = `setsid sh -c 'echo $$ > ${at('daemon')}; exec sleep 600' & until [ -s ${at('daemon')} ]; do :; done; echo key`;
    expect(await secretOf(sh(script))).toBe('key');
    expect(performance.now() - start).toBeLessThan(2000);
    const pid = Number(readFileSync(at('daemon'), 'utf8'));
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, 'SIGKILL');
  });
});

describe('what it says on standard error is told', () => {
  const saidBy = async (script: string, env: NodeJS.ProcessEnv = {}): Promise<string> => {
    const { why } = await failureOf(sh(script), { env: { PATH: process.env['PATH'], ...env } });
    expect(why).toMatch(/^exit code 1(: |$)/);
    return why.slice('exit code 1: '.length);
  };
  /** From outside, so that it is not in the arguments, which anybody may see. */
  const said = async (text: string, before = ''): Promise<string> => {
    writeFileSync(at('said'), text);
    return saidBy(`${before}cat ${at('said')} >&2; exit 1`);
  };

  test('in one line of at most 200 characters, without what cannot be seen', async () => {
    expect(await said('\n one\n\ttwo \r\n')).toBe('one two');
    expect(await said('\x1b[31mred\x1b[0m\x07 \x00and\u202e \u200bmore')).toBe('red and more');
    expect(await said('x '.repeat(200))).toBe('x '.repeat(100));
    expect(await said(`${'x '.repeat(99)}x🌂🌂`)).toBe(`${'x '.repeat(99)}x🌂`);
    expect(await said('')).toBe('');
  });

  test('without any secret that was read before, even one in colour or cut by the end', async () => {
    rememberSecret('hush-hush-hush');
    expect(await said('it was hush-hush-hush!')).toBe('it was [secret]!');
    expect(await said('it was hush-\x1b[31mhush\x1b[0m-hush!')).toBe('it was [secret]!');
    expect(await said(`${'x '.repeat(95)}hush-hush-hush`)).toBe(`${'x '.repeat(95)}[secret]`);
    expect(await said(Buffer.from('me:hush-hush-hush').toString('base64'))).not.toContain('aHVzaC');
  });

  test('without what it printed, and what its own credentials are', async () => {
    expect(await said('I was to print open sesame', 'echo open sesame; ')).toBe('I was to print [secret]');
    expect(await saidBy('echo "with $MY_PASSWORD" >&2; exit 1', { MY_PASSWORD: 'open sesame' })).toBe('with [secret]');
  });

  test('without what looks like a secret', async () => {
    const token = ['ghp', 'A1b2C3d4E5f6G7h8I9j0'].join('_');
    expect(await said(`got ${token}, which is wrong`)).toBe('got [secret], which is wrong');
    expect(await said('password: hunter2')).toBe('password: [secret]');
    expect(await said('{"api_key": "x", "a": 1}')).toBe('{"api_key": [secret] "a": 1}');
  });

  test('but what is in its arguments anyway may stay', async () => {
    expect(await saidBy('echo "no op://vault/item-20-characters" >&2; exit 1')).toBe(
      'no op://vault/item-20-characters',
    );
  });

  test('soon, however much there is', async () => {
    const start = performance.now();
    await saidBy(`head -c 65536 /dev/zero | tr '\\0' x >&2; exit 1`);
    await saidBy(`head -c 65536 /dev/zero | tr '\\0' ' ' >&2; exit 1`);
    await saidBy(`seq 100000 | tee /dev/stderr | head -c 60000; exit 1`);
    expect(performance.now() - start).toBeLessThan(3000);
  });
});
