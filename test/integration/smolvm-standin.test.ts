/**
 * The stand-in answers as the real smolvm does: the same calls go to both, and all that comes back is compared. These are
 * the calls that need no guest; those that do are held against the drivers' contract.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { obtainSmolvm } from '../../src/host/smolvm-package.ts';
import { type SmolvmSite, smolvmSite, standIn } from '../support/smolvm.ts';

const real = await obtainSmolvm((line) => console.log(line)).then(
  ({ path: program, version }) => ({ program, version }),
  (error: Error) => error.message,
);
const version = '1.32.2';
const reason =
  typeof real === 'string'
    ? real
    : real.version === version
      ? undefined
      : `this one is ${real.version}, not ${version}`;
if (reason !== undefined) console.warn(`the stand-in is compared with nothing: ${reason}`);

/** As the driver calls it: no warnings, no hidden machines, no other uid, which could not read the program's libraries. */
const ENVIRONMENT = { NO_COLOR: '1', RUST_LOG: 'off', SMOLVM_IMAGE_SEEDS: '0', SMOLVM_VM_UID_DROP: 'off' };
const JSON_ERRORS = ['--error-format', 'json'];

/** What a program said, with what is by chance in it made alike. */
interface Said {
  call: string;
  exitCode: number | undefined;
  stdout: unknown;
  stderr: unknown;
}

describe.skipIf(reason !== undefined)('the stand-in and smolvm answer alike', { timeout: 600_000 }, () => {
  let site: SmolvmSite;
  let files: string;
  let groups = 0;
  let compared = 0;

  beforeAll(() => {
    site = smolvmSite();
    files = path.join(site.directory, 'files');
    mkdirSync(path.join(files, 'rootfs/bin'), { recursive: true });
    mkdirSync(path.join(files, 'emptydir'));
    const junk = {
      'base.tar': 'base',
      'junk.tar': 'junk',
      'large.tar': 'junk'.repeat(5000),
      'empty.tar': '',
      Dockerfile: 'FROM x',
    };
    for (const [name, content] of Object.entries(junk)) writeFileSync(path.join(files, name), content);
  });
  afterAll(async () => {
    console.log(`${compared} calls of the stand-in compared with the real smolvm ${version}`);
    await site.dispose();
  });

  /** One call after the other, of each program in a state directory of its own. @param env besides the driver's */
  async function compare(
    calls: readonly string[],
    env: Record<string, string> = {},
    every = JSON_ERRORS,
  ): Promise<void> {
    groups++;
    const programs = [(real as { program: string }).program, standIn];
    const states = ['r', 's'].map((kind) => path.join(site.directory, `${kind}${groups}`));
    const said: Said[][] = [[], []];
    for (const call of calls) {
      const both = programs.map((program, index) => ask(program, states[index] as string, call, env, every));
      for (const [index, each] of (await Promise.all(both)).entries()) said[index]?.push(each);
      compared++;
    }
    expect(said[1]).toEqual(said[0]);
    expect(leftIn(states[1] as string)).toEqual(leftIn(states[0] as string));
  }

  async function ask(
    program: string,
    state: string,
    call: string,
    env: Record<string, string>,
    every: readonly string[],
  ): Promise<Said> {
    const words = [...call.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    const result = await execa(program, [...every, '--state-dir', state, ...words], {
      reject: false,
      stdin: 'ignore',
      cwd: files,
      extendEnv: false,
      env: { PATH: process.env['PATH'] ?? '', HOME: '/root', ...ENVIRONMENT, ...env },
    });
    const stderr = alike(result.stderr, state);
    // What clap adds to a complaint, a tip and the usage, is not copied.
    const complaint = stderr.split('\n\n')[0];
    return {
      call,
      exitCode: result.exitCode,
      stdout: parsed(alike(result.stdout, state)),
      stderr: result.exitCode === 2 ? complaint : stderr.split('\n').map(parsed),
    };
  }

  test('create: names', () =>
    compare([
      'machine create --name a1',
      'machine create --name a1',
      'machine create -n A1',
      'machine create --name=a_1',
      'machine create',
      "machine create --name ''",
      'machine create --name a.b',
      'machine create --name a--b',
      'machine create --name a-',
      'machine create --name _a',
      "machine create --name 'a b'",
      'machine create --name a/b',
      'machine create --name é',
      'machine create --name=-x',
      'machine create --name -x',
      `machine create --name ${'a'.repeat(128)}`,
      `machine create --name ${'a'.repeat(129)}`,
      'machine ls -q',
      'machine ls --json',
      'machine ls --json -q',
    ]));

  test('create: whom it may reach', () =>
    compare([
      'machine create --name c1 --allow-cidr 300.1.1.1/32',
      'machine create --name c1 --allow-cidr notacidr',
      'machine create --name c1 --allow-cidr 10.0.0.1/33',
      "machine create --name c1 --allow-cidr ''",
      'machine create --name c1 --allow-cidr 10.0.0.1',
      'machine create --name c2 --allow-host 10.0.0.1',
      "machine create --name c3 --allow-cidr 10.0.0.1/32 --allow-host 10.0.0.1 --allow-host-pattern sidecar.invalid --allow-host-pattern '*.example.com'",
      "machine create --name c4 --allow-host-pattern ''",
      'machine create --name c4 --allow-host-pattern 10.0.0.1',
      'machine create --name c4 --net-backend tsi --allow-cidr 10.0.0.1/32',
      'machine create --name c4 --net-backend bogus',
      'machine create --name c4 --net-backend virtio-net --allow-cidr 10.0.0.1/32',
      'machine create --name c5 --allow-cidr fd00::/8 --allow-cidr 10.1.2.3/0 --allow-cidr 010.0.0.1/8',
      'machine create --name c6 --outbound-localhost-only',
      'machine create --name c7 --net',
      'machine create --name c8 --dns 1.1.1.1',
      'machine create --name c9 --dns x',
      ...['c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'c8'].map((name) => `machine status --json --name ${name}`),
    ]));

  test('create: images and packs', () =>
    compare([
      'machine create --name i1 --image alpine',
      "machine create --name i2 --image 'BAD REF!!'",
      'machine create --name i3 --image ./missing.tar',
      'machine create --name i3 --image ./missing.tar.gz',
      'machine create --name i3 --image missing.tgz',
      'machine create --name i3 --image /missing',
      'machine create --name i3 --image ../missing',
      'machine create --name i3 --image ./missingdir/',
      'machine create --name i3 --image ./Dockerfile',
      "machine create --name i3 --image ''",
      'machine create --name i4 --image Dockerfile',
      'machine create --name i5 --image ./junk.tar',
      'machine create --name i6 --image ./empty.tar',
      'machine create --name i7 --image base.tar',
      'machine create --name i8 --image ./rootfs/',
      'machine create --name i9 --image ./emptydir',
      'machine create --name i10 --image -',
      'machine create --name f1 --from missing',
      'machine create --name f1 --from junk.tar',
      'machine create --name f1 --from empty.tar',
      'machine create --name f1 --from large.tar',
      "machine create --name f1 --from ''",
      'machine create --name f1 --from junk.tar --image alpine',
      'machine create --name f1 --image alpine --from junk.tar',
      'machine ls --json',
    ]));

  test('create: everything else', () =>
    compare([
      "machine create --name l1 --label a=b=c --label 'x=y z' --label e= --label ü=→ --label a=2",
      'machine create --name l2 --label nokey',
      'machine create --name l2 --label =v',
      "machine create --name e1 -e A=1 -e 'B=x y' -eC=3 --env HOME -e UNSET_X -e =bad -e ''",
      "machine create --name k1 --image ./base.tar -- sh -c 'while :; do sleep 1; done' --name z",
      'machine create --name k2 -- true --',
      'machine create --name r1 --cpus 0',
      'machine create --name r1 --cpus 1000',
      'machine create --name r1 --cpus abc',
      "machine create --name r1 --cpus ''",
      'machine create --name r1 --mem 32',
      'machine create --name r1 --mem abc',
      'machine create --name r1 --mem 99999999999',
      'machine create --name r1 --storage 0',
      'machine create --name r1 --overlay 0',
      'machine create --name r1 --cpus 3 --mem 512 --storage 7 --overlay 3 -w /x -u root',
      "machine create --name r2 -u '' -w ''",
      'machine create --name m1 --mount-socket /nonexistent.sock:/run/x.sock',
      'machine create --name m2 --mount-socket /nonexistent.sock:run/x.sock',
      'machine create --name m2 --mount-socket /nonexistent.sock',
      'machine create --name m2 --mount-socket :/run/a',
      "machine create --name m2 --mount-socket '/a:/run/x;y'",
      'machine create --name m2 --mount-socket /a:/run/a --mount-socket /b:/run/a',
      'machine create --name m2 --mount-socket /a:/run/a:/c',
      'machine create --name t1 --stop-timeout 500',
      'machine create --name t1 --stop-timeout x',
      'machine create --name t1 --stop-timeout 3',
      'machine create x1',
      'machine create --name x1 sleep',
      'machine create --bogus',
      'machine create --name',
      'machine create --name --net',
      'machine create --name x --name y',
      'machine ls --json',
    ]));

  test('status, ls, data-dir and logs', () =>
    compare([
      'machine ls',
      'machine ls -q',
      'machine ls --json',
      'machine create --name a1 --image ./base.tar --label k=v -- true',
      'machine status --name a1',
      'machine status --json -n a1',
      'machine status --name nope',
      'machine status --json --name nope',
      "machine status --json --name ''",
      'machine status',
      'machine status --json',
      'machine status --name a1 --json --name a1',
      'machine ls --json --json',
      'machine ls --json=1',
      'machine ls extra',
      'machine ls -qv',
      'machine ls -jq',
      'machine list -q',
      'vm ls -q',
      'machine data-dir --name a1',
      'machine data-dir --name nope',
      'machine data-dir',
      'machine logs --name a1',
      'machine logs --name a1 --tail 3',
      'machine logs --name a1 --tail x',
      'machine logs --name nope',
    ]));

  test('exec and cp of what does not run', () =>
    compare([
      'machine create --name a1 --image ./junk.tar',
      'machine exec --name a1 -- true',
      'machine exec --name a1 true',
      'machine exec --name a1 -it -- true',
      'machine exec --name a1 -d -- true',
      'machine exec --name=a1 -eA=1 -e B=2 -wx -uroot -- true',
      'machine exec --name a1 --user root --env A=1 --workdir /x --interactive --tty -- true --name b',
      'machine exec --name a1 --timeout 30s -- true --timeout 5',
      'machine exec --name a1',
      'machine exec --name a1 --',
      'machine exec --name',
      'machine exec --name a1 -d -i -- true',
      'machine exec --name a1 --timeout 30 -- true',
      'machine exec --name a1 --timeout 0s -- true',
      'machine exec --name a1 --timeout abc -- true',
      'machine exec --name a1 --timeout 5x -- true',
      "machine exec --name a1 --timeout '' -- true",
      'machine exec -n a1 -- true',
      'machine exec --name a1 --bogus -- true',
      'machine exec --name a1 -itx true',
      'machine exec --name nope -- true',
      "machine exec --name '' -- true",
      'machine cp ./junk.tar a1:/x',
      'machine cp a1:/x ./y',
      'machine cp a1:/x a1:/y',
      'machine cp ./missing a1:/x',
      'machine cp ./emptydir a1:/x',
      'machine cp --mode 9 ./junk.tar a1:/x',
      'machine cp --mode 644 a1:/x y',
      'machine cp --uid x a a1:/x',
      'machine cp a b',
      'machine cp a',
      'machine cp ./junk.tar nope:/x',
      'machine cp :/x y',
    ]));

  test('stop and delete of what does not run', () =>
    compare([
      'machine create --name a1 --image ./junk.tar',
      'machine create --name a2',
      'machine create --name a3',
      'machine stop --name a1',
      'machine stop --name a1 -t 5',
      'machine stop -t0 -n a1',
      'machine stop -na1',
      'machine stop -n=a1',
      'machine stop --name a1 --timeout x',
      'machine stop --name a1 --timeout 500',
      'machine stop --name a1 --timeout -1',
      'machine stop --name a1 --timeout=-1',
      'machine stop --name nope',
      "machine stop --name ''",
      'machine stop',
      'machine delete',
      'machine delete --name a1',
      'machine delete --name a1 --json',
      'machine delete --name a1 -f',
      'machine delete --name a1 -f',
      'machine delete --name a2 --cascade',
      'machine rm --force --name a3',
      'machine delete -f --name nope',
      "machine delete -f --name ''",
      'machine ls -q',
    ]));

  test('update', () =>
    compare([
      'machine create --name a1',
      'machine update --name a1',
      'machine update --name a1 --cpus 2',
      'machine update --name a1 --cpus 0',
      'machine update --name a1 --mem 1',
      'machine update --name a1 --label a=b',
      'machine update --name a1 --allow-cidr bad',
      'machine update --name a1 --allow-cidr 10.1.0.0/24 --allow-cidr 10.2.0.0/24',
      'machine update --name a1 --remove-allow-cidr 10.9.0.0/24',
      'machine update --name a1 --remove-allow-cidr 10.1.0.0/24',
      'machine update --name a1 --remove-allow-cidr 10.2.0.0/24',
      'machine update --name a1 --allow-host 10.9.9.9',
      'machine update --name a1 --allow-host nope.invalid',
      'machine update --name a1 --allow-host-pattern x.invalid',
      'machine status --json --name a1',
      'machine update --name a1 --remove-allow-cidr 10.2.0.0/24',
      'machine update --name a1 --remove-allow-host x.invalid',
      'machine update --name a1 --remove-allow-host =nope.invalid',
      'machine update --name a1 --remove-allow-host zzz',
      'machine update --name a1 --reset-allow-list',
      'machine update --name a1 --reset-allow-list --allow-cidr 10.3.0.0/24',
      'machine status --json --name a1',
      'machine update --name a1 --reset-allow-list --net',
      'machine status --json --name a1',
      'machine update --name a1 --allow-cidr 10.1.0.0/24',
      'machine update --name a1 --no-net',
      'machine status --json --name a1',
      'machine update --name a1 -e X=1 --remove-env X -w /y --mem 700',
      'machine update --name nope --cpus 2',
      'machine update',
    ]));

  test('start of what cannot be booted', () =>
    compare(
      [
        'machine create --name a1 --image ./base.tar',
        "machine create --name a2 --image 'BAD REF!!'",
        'machine start --name a1',
        'machine status --json --name a1',
        'machine start --name nope',
        'machine start --name=',
        'machine start extra',
        'machine start --name a1 --json',
        'machine stop --name a1',
        'machine delete --force --name a1',
      ],
      { SMOLVM_AGENT_ROOTFS: '/nonexistent' },
    ));

  test('start with a reference that is none, and without an archive of the rootfs', async () => {
    const calls = ["machine create --name a1 --image 'BAD REF!!'", 'machine create --name a2 --image ./base.tar'];
    await compare([...calls, 'machine start --name a1']);
    await compare([...calls, 'machine start --name a2'], { SMOLVM_AGENT_ROOTFS_TAR: '/nonexistent' });
  });

  test('pack', () =>
    compare([
      'pack create --image ./base.tar',
      'pack create -o x',
      'pack create --image ./base.tar -o x.smolmachine',
      'pack create --image ./missing.tar -o x',
      'pack create --from-vm nope -o x',
      'pack create --from-vm a1 --image alpine -o x',
      'pack',
      'pack bogus',
    ]));

  test('no verb, or none that is known', () =>
    compare([
      '--version',
      '-V',
      'machine',
      'machine bogus',
      'bogus',
      '--bogus machine ls',
      'machine --error-format xml ls',
      "machine --state-dir '' ls",
    ]));

  test('the machine that the environment names, and the state directory that it names', async () => {
    const env = { SMOLVM_MACHINE_NAME: 'named' };
    await compare(['machine create', 'machine create', 'machine status --json', 'machine ls -q', 'machine stop'], env);
    await compare(['machine create --name a', 'machine ls -q'], { SMOLVM_DATA_DIR: '/nonexistent/elsewhere' });
  });

  test('errors as text, which is how they come unless told otherwise', () =>
    compare(
      ['machine create --name a.b', 'machine status --json --name nope', 'machine exec --name nope -- true'],
      {},
      [],
    ));

  test.skipIf(!existsSync('/dev/kvm'))('a state directory that is too long is found by start alone', async () => {
    const programs = [(real as { program: string }).program, standIn];
    for (const bytes of [60, 61, 62, 70]) {
      const said: unknown[] = [];
      for (const [index, program] of programs.entries()) {
        const state = path.join(site.directory, `${index}`.padEnd(bytes - site.directory.length - 1, 'd'));
        expect(Buffer.byteLength(state)).toBe(bytes);
        const create = await ask(program, state, 'machine create --name a --image ./base.tar', {}, JSON_ERRORS);
        said.push([create.exitCode, await ask(program, state, 'machine start --name a', {}, JSON_ERRORS)]);
        compared++;
      }
      expect(said[1]).toEqual(said[0]);
    }
  });
});

const alike = (text: string, state: string): string =>
  text
    .replaceAll(state, '<state>')
    .replace(/\bvm-[0-9a-f]{8}\b/g, 'vm-<id>')
    .replace(/("created_at": )\d+/g, '$10');

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The folders and locks of machines. */
function leftIn(state: string): string[] {
  const machines = path.join(state, '.cache/smolvm/vms');
  return existsSync(machines)
    ? readdirSync(machines)
        .filter((name) => name !== '.artifact-cache.lock')
        .sort()
    : [];
}
