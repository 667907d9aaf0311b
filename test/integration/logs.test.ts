/** `bottle logs` over real logs of the Engine: long ones, some of them, as JSON, and those of a bottle that is gone. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleName, LABEL } from '../../src/core/names.ts';
import { removeBundle } from '../../src/host/bundle.ts';
import { connectDocker } from '../../src/host/docker.ts';
import { imageTag } from '../../src/host/image-tags.ts';
import { settings as readSettings } from '../../src/host/settings.ts';
import { removeObjects, uniqueId } from '../support/installation.ts';

const MAIN = fileURLToPath(new URL('../../src/client/main.ts', import.meta.url));
const PORT = '9';
const LINES = 100_000;
const LINE_BYTES = 1000;
/** What Node itself takes is 90 MiB. */
const MEMORY_KIB = 220 * 1024;

const docker = connectDocker();
const owner = `test-${randomUUID()}/default`;
const directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-logs-'));
const env = {
  PATH: process.env['PATH'],
  HOME: directory,
  BOTTLE_HOME: path.join(directory, 'home'),
  BOTTLE_STATE: path.join(directory, 'state'),
  BOTTLE_PORT: PORT,
  BOTTLE_HOST: 'here',
};
const settings = readSettings(env);

/** A container that stands for a bundle, and what this host knows of a bottle: all that `logs` looks at. */
async function bundleThatPrints(script: string): Promise<{ id: string; ended: Promise<unknown> }> {
  const id = uniqueId('logs');
  mkdirSync(path.join(settings.state, 'bottles', id), { recursive: true });
  writeFileSync(path.join(settings.state, 'bottles', id, 'plan.json'), '{}');
  const container = await docker.createContainer({
    name: bundleName(id),
    Image: await imageTag('bundle'),
    Entrypoint: ['sh', '-c'],
    Cmd: [script],
    User: 'root',
    Labels: { [LABEL.bottle]: id, [LABEL.owner]: owner, [LABEL.step]: 'bundle' },
    HostConfig: { NetworkMode: 'none', LogConfig: { Type: 'json-file', Config: {} } },
  });
  await container.start();
  return { id, ended: container.wait() };
}

interface Said {
  code: number | null;
  stdout: string;
  stderr: string;
  bytes: number;
  maxRssKiB: number;
}

/** @param keep whether what it prints is wanted, or only how much it is */
function logs(args: string[], keep = true): Promise<Said> {
  const tell = `process.on('exit', () => process.stderr.write('maxRSS ' + process.resourceUsage().maxRSS))`;
  const child = spawn(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(tell)}`, MAIN, 'logs', ...args],
    {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let [stdout, stderr, bytes] = ['', '', 0];
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (keep) stdout += chunk;
  });
  child.stderr.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      resolve({ code, stdout, stderr, bytes, maxRssKiB: Number(/maxRSS (\d+)$/.exec(stderr)?.[1]) }),
    );
  });
}

beforeAll(() => {
  mkdirSync(path.join(settings.state, 'run'), { recursive: true });
  writeFileSync(
    path.join(settings.state, 'run', 'worker.json'),
    JSON.stringify({ pid: 1, host: 'here', address: `127.0.0.1:${PORT}`, namespace: 'default', owner }),
  );
});
afterAll(async () => {
  await removeObjects(owner);
  rmSync(directory, { recursive: true, force: true });
});

describe('a log of a hundred megabytes', () => {
  let id: string;
  beforeAll(async () => {
    const text = `[egress] ${'x'.repeat(LINE_BYTES - 10)}`;
    const bundle = await bundleThatPrints(`yes '${text}' | head -n ${LINES}; echo '[pipelock] the end'`);
    await bundle.ended;
    id = bundle.id;
  });

  test('is printed whole, in little memory', async () => {
    const { code, stderr, bytes, maxRssKiB } = await logs([id], false);
    expect({ code, bytes }, stderr).toEqual({ code: 0, bytes: LINES * LINE_BYTES + '[pipelock] the end\n'.length });
    expect(maxRssKiB).toBeLessThan(MEMORY_KIB);
  });

  test('is one JSON document, in little memory', async () => {
    const { code, stderr, bytes, maxRssKiB } = await logs([id, '--json', '--tail', String(LINES / 2)], false);
    expect({ code, bytes }, stderr).toEqual({
      code: 0,
      bytes:
        `{"id":"${id}","lines":[]}\n`.length + (LINES / 2 - 1) * (LINE_BYTES - 1 + 3) + '"[pipelock] the end"'.length,
    });
    expect(maxRssKiB).toBeLessThan(MEMORY_KIB);
  });

  test("--tail counts the daemon's own lines", async () => {
    const { stdout } = await logs([id, 'pipelock', '--tail', '3']);
    expect(stdout).toBe('[pipelock] the end\n');
    expect((await logs([id, '--tail', '2'])).stdout).toMatch(/^\[egress\] x+\n\[pipelock\] the end\n$/);
  });
});

describe('a short log', () => {
  let id: string;
  beforeAll(async () => {
    const script = 'echo "[egress] one"; echo "[pipelock] two"; sleep 2; echo "[egress] three"';
    const bundle = await bundleThatPrints(script);
    id = bundle.id;
  });

  test('is followed as lines of JSON, until the bundle ends', async () => {
    const { code, stdout, stderr } = await logs([id, '-f', '--json']);
    expect(code, stderr).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(
      ['[egress] one', '[pipelock] two', '[egress] three'].map((line) => ({
        id,
        at: expect.stringMatching(/^\d{4}-.*Z$/),
        line,
      })),
    );
  });

  test('--since and --timestamps are as in docker logs', async () => {
    const { stdout } = await logs([id, 'egress', '-t']);
    const [first, third] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' '));
    expect([first?.slice(1), third?.slice(1)]).toEqual([
      ['[egress]', 'one'],
      ['[egress]', 'three'],
    ]);
    expect((await logs([id, '--since', third?.[0] ?? ''])).stdout).toBe('[egress] three\n');
    expect((await logs([id, '--since', '1h', '--tail', '1', 'egress'])).stdout).toBe('[egress] three\n');
    expect(JSON.parse((await logs([id, '--json', '--tail', '0'])).stdout)).toEqual({ id, lines: [] });
  });

  test('is still there when the bottle is gone, and says so', async () => {
    await removeBundle({ docker, owner, settings }, id);
    rmSync(path.join(settings.state, 'bottles', id), { recursive: true });
    const { code, stdout, stderr } = await logs([id]);
    expect(code, stderr).toBe(0);
    expect(stdout.trimEnd().split('\n')).toEqual(['[egress] one', '[pipelock] two', '[egress] three']);
    expect(stderr).toMatch(
      new RegExp(`^note: ${id} has no bundle now; this is what the last one said until \\d{4}-.*Z\n`),
    );
    expect(JSON.parse((await logs([id, 'egress', '--json', '--tail', '1'])).stdout)).toEqual({
      id,
      lines: ['[egress] three'],
    });
    const kept = path.join(settings.state, 'log', 'bottles', `${id}.log.gz`);
    expect(readFileSync(kept).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
  });

  test('that breaks off says so within its one document', async () => {
    const broken = 'broken-log';
    const kept = path.join(settings.state, 'log', 'bottles', `${broken}.log.gz`);
    const lines = Array.from(
      { length: 20_000 },
      (_, index) => `2026-11-23T10:00:00Z [egress] ${index} ${randomUUID()}\n`,
    );
    const whole = gzipSync(lines.join(''));
    writeFileSync(kept, whole.subarray(0, whole.length / 2));
    const { code, stdout } = await logs([broken, '--json']);
    const document = JSON.parse(stdout) as { lines: string[] };
    expect({ code, document }).toMatchObject({ code: 1, document: { id: broken, error: { code: 'INTERNAL' } } });
    expect(document.lines[0]).toMatch(/^\[egress\] 0 /);
  });
});
