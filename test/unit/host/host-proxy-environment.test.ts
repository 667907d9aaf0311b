import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { proxyEnvironment } from '../../../src/host/host-proxy-environment.ts';
import { httpProxy } from '../../support/http-proxy.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'bottle-proxy-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const environment = (yaml: string, env: NodeJS.ProcessEnv = {}) => {
  writeFileSync(path.join(home, 'config.yaml'), yaml);
  return proxyEnvironment({ BOTTLE_HOME: home, ...env });
};

test('is that of this process where config.yaml has no proxy', async () => {
  const own = { HTTPS_PROXY: 'http://mine', no_proxy: 'x' };
  expect(await environment('', { ...own, HTTP_PROXY: '', OTHER: '1' })).toEqual(own);
});

test('is that of config.yaml in both spellings, with its login, in the place of the own', async () => {
  const yaml =
    'network: {proxy: {url: "http://p:3128", username: me, password: env:PW, no_proxy: [corp.example, 10.0.0.0/8]}}';
  const env = await environment(yaml, { HTTPS_PROXY: 'http://mine', PW: 'a:b@c' });
  const url = 'http://me:a%3Ab%40c@p:3128';
  const direct = 'localhost,127.0.0.1,::1,corp.example,.corp.example,10.0.0.0/8';
  expect(env).toEqual({
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    NO_PROXY: direct,
    http_proxy: url,
    https_proxy: url,
    no_proxy: direct,
  });
});

test('a password that cannot be read is told by its reference', async () => {
  const yaml = 'network: {proxy: {url: "http://p", username: me, password: env:NOT_SET}}';
  await expect(environment(yaml)).rejects.toMatchObject({
    code: 'SECRET_MISSING',
    message: expect.stringContaining('env:NOT_SET'),
  });
});

test('npm goes by it to its registry', async () => {
  const registry = createServer((_request, response) => response.writeHead(404).end('{}')).listen(0, '127.0.0.1');
  const proxy = await httpProxy({ login: { username: 'me', password: 'p:w' } });
  try {
    const { port } = registry.address() as { port: number };
    const yaml = `network: {proxy: {url: "http://127.0.0.1:${proxy.upstream.port}", username: me, password: env:PW}}`;
    const env = await environment(yaml, { PW: 'p:w' });
    const npm = [
      'pack',
      'tiny@1.0.0',
      `--registry=http://registry.test:${port}/`,
      '--fetch-retries=0',
      `--cache=${home}/cache`,
    ];
    await execa('npm', npm, { cwd: home, env, reject: false, stdin: 'ignore' });
    expect(proxy.asked.join()).toMatch(
      new RegExp(`(GET http://registry\\.test:${port}/tiny|CONNECT registry\\.test:${port})`),
    );
    expect(proxy.asked.join()).not.toContain('407');
  } finally {
    await proxy.close();
    registry.close();
  }
});
