import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { pipelockFeed } from '../../../src/bundle/pipelock.ts';
import type { PipelockConfig } from '../../../src/core/bundle-config.ts';

/** Takes a changed file as pipelock does, 0.1 s after the signal, and says so without saying which; first what it has taken. */
const TAKER = `trap 'sleep 0.1; cat "$1"; echo; echo "{\\"event\\":\\"config_reload\\",\\"status\\":\\"success\\"}"' HUP; echo up; while :; do sleep 0.02; done`;

const listen = { host: '127.0.0.1', port: 1 };
const config = (...allow: string[]): PipelockConfig => ({
  kind: 'pipelock',
  yaml: `api_allowlist:\n${allow.map((host) => `  - ${host}\n`).join('')}mode: strict\n`,
  listen,
  ca: null,
  upstreamCa: null,
});

test('of two quick changes each counts when its own file has been read, not by the word for the other', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-pipelock-'));
  const file = path.join(folder, 'pipelock.yaml');
  const child = spawn('bash', ['-c', TAKER, 'bash', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    child.stdout.setEncoding('utf8');
    let said = '';
    child.stdout.on('data', (text: string) => (said += text));
    await once(child.stdout, 'data');
    const feed = pipelockFeed({ path: process.env['PATH'] ?? '' }, file);
    feed.first(child, config('first.test'), () => undefined);
    const change = (host: string): Promise<string> => {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const refused = (): void => reject(new Error(`${host} was refused`));
      expect(feed.next(child, config('first.test', host), () => resolve(said), refused)).toBe(true);
      return promise;
    };
    const [second, third] = await Promise.all([change('second.test'), change('third.test')]);
    expect(second).toContain('second.test');
    expect(third).toContain('third.test');
  } finally {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});
