/** What an agent finds in a machine of the image `full`, and what its operator may do in it. Nothing here needs a network. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { machineName } from '../../src/core/names.ts';
import type { Resources } from '../../src/core/plan.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import { type DockerSite, dockerSite, run, sh } from '../support/docker-site.ts';

let site: DockerSite;
let bottle: BottleRef;
beforeAll(async () => {
  site = await dockerSite();
  bottle = await machine({ cpus: 1, memoryMiB: 1536, pids: 512 });
});
afterAll(() => site?.dispose());

async function machine(resources: Resources, image = site.images['guest-full']): Promise<BottleRef> {
  const made = site.bottle('work');
  await site.driver.create(made, { ...site.machineSpec(await site.network(made)), image, resources });
  await site.driver.start(made);
  return made;
}

const shell = (script: string, options: Parameters<typeof sh>[3] = {}) => sh(site.driver, bottle.id, script, options);
/** As `bottle exec --user root` runs it. */
const asOperator = (script: string) => shell(script, { user: 'root', administers: true, workdir: '/' });

const PROGRAMS = `npm npx corepack pnpm yarn python3 pip uv uvx make gcc g++ pkg-config jq rg fd git-lfs gh unzip zip xz file
  patch less ps vi tree bc dig nc rsync sqlite3 locale wget node git curl ssh perl awk sed diff tar`;

describe('the image', () => {
  test('has what an agent reaches for in its first minutes', async () => {
    const { stdout } = await shell(
      `for p in ${PROGRAMS.replaceAll('\n', ' ')}; do command -v $p >/dev/null || echo $p; done`,
    );
    expect(stdout).toBe('');
  });

  test('speaks UTF-8, in two locales', async () => {
    const { stdout } = await shell('locale -a; LC_ALL=en_US.UTF-8 locale charmap 2>&1; locale charmap');
    expect(stdout.split('\n')).toEqual(expect.arrayContaining(['C.utf8', 'en_US.utf8', 'UTF-8']));
    expect(stdout).not.toMatch(/cannot set/i);
  });

  test('builds a C++ program, a native module of Node, and an environment of Python', async () => {
    const { exitCode, stdout, stderr } = await shell(`set -e; mkdir build; cd build
      printf '#include <iostream>\\nint main() { std::cout << "c++"; }' > a.cc; printf 'a: a.cc\\n\\tg++ -o $@ $<\\n' > Makefile
      make >/dev/null; ./a; echo
      mkdir native; cd native
      printf '{"name":"n","version":"1.0.0","gypfile":true}' > package.json
      printf '{"targets":[{"target_name":"n","sources":["n.c"]}]}' > binding.gyp
      printf '#include <node_api.h>\\nstatic napi_value init(napi_env e, napi_value x) { napi_value v; napi_create_int32(e, 42, &v); return v; }\\nNAPI_MODULE(n, init)' > n.c
      npm install --offline >/dev/null; node -p 'require("./build/Release/n.node")'
      cd ..; python3 -m venv v; v/bin/python -c 'print("venv")'`);
    expect({ exitCode, stdout, stderr: exitCode === 0 ? '' : stderr }).toEqual({
      exitCode: 0,
      stdout: 'c++\n42\nvenv\n',
      stderr: '',
    });
  });

  test('holds no program that gives more rights than its caller has', async () => {
    expect((await shell('find / -xdev -type f -perm /6000 2>/dev/null')).stdout).toBe('');
  });
});

describe.each(['guest', 'guest-full'] as const)('in the image %s', (kind) => {
  let small: BottleRef;
  beforeAll(async () => {
    small = kind === 'guest-full' ? bottle : await machine({ cpus: 1, memoryMiB: 256, pids: 64 }, site.images[kind]);
  });

  test('what the agent puts into ~/.local/bin is on its PATH, in a login shell too', async () => {
    await sh(
      site.driver,
      small.id,
      'printf "#!/bin/sh\\necho hi there\\n" > ~/.local/bin/hi && chmod +x ~/.local/bin/hi',
    );
    expect(await run(site.driver, small.id, ['hi'])).toMatchObject({ exitCode: 0, stdout: 'hi there\n' });
    expect(await run(site.driver, small.id, ['bash', '-lc', 'hi'])).toMatchObject({ stdout: 'hi there\n' });
  });

  test("and not on root's", async () => {
    for (const administers of [true, false]) {
      const tried = await run(site.driver, small.id, ['hi'], { user: 'root', administers });
      expect(tried.exitCode).toBe(127);
    }
  });
});

describe('the agent installs for itself, without a question', () => {
  test('with npm -g', async () => {
    const { stdout } = await shell(`set -e; mkdir tool; cd tool
      printf '{"name":"tool","version":"1.0.0","bin":{"my-tool":"t.js"}}' > package.json
      printf '#!/usr/bin/env node\\nconsole.log("by npm")' > t.js; npm pack --silent >/dev/null
      npm install --global --offline --silent ./tool-1.0.0.tgz; my-tool; command -v my-tool`);
    expect(stdout).toBe('by npm\n/home/agent/.local/bin/my-tool\n');
  });

  test('with pip --user and with uv tool install', async () => {
    const { stdout, stderr } = await shell(`set -e; mkdir wheel; cd wheel
      printf 'def main(): print("by pip")' > pipped.py
      python3 - <<'END'
import zipfile
with zipfile.ZipFile('pipped-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.write('pipped.py')
    info = 'pipped-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: pipped\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'entry_points.txt', '[console_scripts]\\npipped = pipped:main\\n')
    wheel.writestr(info + 'RECORD', '')
END
      pip install --user --no-index --quiet --disable-pip-version-check ./pipped-1.0-py3-none-any.whl
      pipped; command -v pipped; pip uninstall --yes --quiet pipped
      uv tool install --offline --quiet ./pipped-1.0-py3-none-any.whl; pipped; command -v pipped`);
    expect({ stdout, stderr }).toEqual({
      stdout: 'by pip\n/home/agent/.local/bin/pipped\nby pip\n/home/agent/.local/bin/pipped\n',
      stderr: '',
    });
  });

  test('but not Debian packages: apt says whom to ask', async () => {
    const { exitCode, stderr } = await shell('apt-get install --yes hello');
    expect(exitCode).toBe(100);
    expect(stderr).toMatch(
      new RegExp(`^hint: .*ask for: bottle exec --user root ${bottle.id} -- apt-get install --yes hello$`, 'm'),
    );
  });
});

/** A package with a user of its own, to whom it gives a folder in its postinst, and a manual among the alternatives. */
const PACKAGE = `set -e; rm -rf /tmp/p; mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin /tmp/p/etc; cd /tmp
  printf 'Package: served\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: t <t@t.test>\\nDescription: t\\n' > p/DEBIAN/control
  printf '#!/bin/sh\\nset -e\\nmountpoint -q /proc\\nuseradd --system served\\nmkdir -p /var/lib/served\\nchown served:served /var/lib/served\\nchmod 2750 /var/lib/served\\nupdate-alternatives --install /usr/bin/serve serve /usr/bin/served 1 --slave /usr/share/man/man1/serve.1.gz serve.1.gz /usr/share/man/man1/served.1.gz\\nsu -s /bin/sh served -c "touch /var/lib/served/mine"\\n' > p/DEBIAN/postinst
  printf '#!/bin/sh\\nid -un\\n' > p/usr/bin/served; chmod 755 p/DEBIAN/postinst p/usr/bin/served
  dpkg-deb --root-owner-group --build p /tmp/served.deb >/dev/null`;

describe('the operator, as root', () => {
  test('installs a package whose scripts make users and give files away', async () => {
    expect(await shell(PACKAGE)).toMatchObject({ exitCode: 0 });
    const installed = await asOperator('apt-get install --yes /tmp/served.deb');
    expect(installed.stderr.replace(/^.*unsandboxed.*$/m, '')).not.toMatch(/denied|not permitted|error/i);
    expect(installed.exitCode).toBe(0);
    expect((await asOperator('stat -c "%U %a" /var/lib/served; stat -c %U /var/lib/served/mine')).stdout).toBe(
      'served 2750\nserved\n',
    );
    expect(await shell('serve')).toMatchObject({ stdout: 'agent\n' });
  });

  test('has the capabilities for that, and none that reach beyond the files and processes of the machine', async () => {
    const { stdout } = await asOperator('cat /proc/self/status');
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid
    for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
      expect(stdout).toMatch(new RegExp(`^${set}:\\t00000000000000fb$`, 'm'));
    for (const set of ['CapInh', 'CapAmb']) expect(stdout).toMatch(new RegExp(`^${set}:\\t0+$`, 'm'));
    expect(stdout).toMatch(/^Seccomp:\t2$/m);
    expect(stdout).toMatch(/^NoNewPrivs:\t1$/m);
  });

  test.each([
    ['set a route', 'ip route replace default via 10.1.1.1'],
    ['mount', 'perl -e "exit(syscall(165, qq(none), qq(/mnt), qq(tmpfs), 0, 0) == 0 ? 0 : 1)"'],
    ['join other mounts', 'nsenter --target 1 --mount true'],
    ['look at the memory of the first process', 'cat /proc/1/environ'],
    ['make a device', 'mknod /tmp/disk b 8 0'],
    ['open a packet socket', 'perl -e "socket(S, 17, 3, 0) or die qq(\\$!)"'],
    ['make a namespace', 'unshare --net true'],
    ['change a setting of the kernel', 'echo 1 > /proc/sys/net/ipv4/ip_forward'],
    ['change its root', 'chroot / true'],
    ['load a module', 'perl -e "exit(syscall(313, 0, qq(), 0) == 0 ? 0 : 1)"'],
  ])('cannot %s', async (_what, script) => {
    expect((await asOperator(script)).exitCode).not.toBe(0);
  });

  test('leaves the agent what it had: no capability, nor root by a program that root marked', async () => {
    await asOperator(
      'cp /usr/bin/dash /usr/local/bin/marked && chown root:root /usr/local/bin/marked && chmod 4755 /usr/local/bin/marked',
    );
    expect(await shell('id -u; marked -p -c "id -u; echo x > /etc/marked"; cat /proc/self/status')).toMatchObject({
      stdout: expect.stringMatching(/^1000\n1000\n[\s\S]*CapBnd:\t0{16}\n/),
    });
    const { stdout } = await shell('cat /proc/self/status', { user: 'root' });
    expect(stdout).toMatch(/CapEff:\t0{16}\nCapBnd:\t0{16}\n/);
  });

  test('whose command is broken off leaves nothing running', async () => {
    const ending = new AbortController();
    const options = { user: 'root', administers: true, signal: ending.signal };
    const running = run(site.driver, bottle.id, ['su', '-s', '/bin/sh', 'agent', '-c', 'sleep 4711'], options);
    const sleeping = 'ps -eo args | grep -c "^sleep 4711"';
    while ((await shell(sleeping)).stdout !== '1\n');
    ending.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    expect((await shell(sleeping)).stdout).toBe('0\n');
  });
});

describe('limits as they are seen inside', () => {
  test('CPUs, memory and shared memory are those of the plan', async () => {
    const { stdout } = await shell(
      'nproc; node -p "process.constrainedMemory() / 1048576"; df -m --output=size /dev/shm',
    );
    expect(stdout).toMatch(/^1\n1536\n\s*1M-blocks\n\s*1024\n$/);
    const { HostConfig } = await site.inspect(machineName(bottle.id));
    expect(HostConfig.ShmSize).toBe(1024 ** 3);
  });

  test('shared memory is never more than memory', async () => {
    const { id } = await machine({ cpus: 2, memoryMiB: 256, pids: 64 }, site.images.guest);
    expect((await sh(site.driver, id, 'nproc; df -m --output=size /dev/shm')).stdout).toMatch(
      /^2\n\s*1M-blocks\n\s*256\n$/,
    );
  });
});

describe('a terminal', () => {
  const terminal = { columns: 133, rows: 41 };

  test('has its size when the command begins, 100 of 100 times, beside two busy loops', async () => {
    await sh(site.driver, bottle.id, 'for i in 1 2; do (while :; do :; done) & done; sleep 0.1');
    try {
      const sizes = new Set<string>();
      for (let tries = 0; tries < 25; tries++) {
        const four = Array.from({ length: 4 }, () =>
          run(site.driver, bottle.id, ['stty', 'size'], { terminal, stdin: '' }),
        );
        for (const { stdout } of await Promise.all(four)) sizes.add(stdout.trim());
      }
      expect([...sizes]).toEqual(['41 133']);
    } finally {
      await site.driver.stop(bottle.id);
      await site.driver.start(bottle);
    }
  });

  test.each([
    ['xterm-ghostty', 'xterm-256color', '256'],
    ['', 'xterm-256color', '256'],
    ['xterm', 'xterm', '8'],
    ['screen-256color', 'screen-256color', '256'],
  ])('%j is, in the machine, %s of %s colours', async (TERM, known, colours) => {
    const { stdout } = await shell('echo $TERM; tput colors', { terminal, stdin: '', env: { TERM } });
    expect(stdout.split(/\s+/).filter(Boolean)).toEqual([known, colours]);
  });
});
