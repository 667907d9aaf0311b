import { expect, test } from 'vitest';
import { unusedProxy } from '../../../src/client/render/proxy-variables.ts';

test.each([
  [{ HTTPS_PROXY: 'http://proxy.corp:3128' }, 'network: {proxy: "http://proxy.corp:3128"}'],
  [{ http_proxy: 'proxy.corp:8080' }, 'network: {proxy: "http://proxy.corp:8080"}'],
  [
    { https_proxy: 'http://me:s3cret@proxy.corp:3128', no_proxy: 'localhost,127.0.0.1, .corp.example,10.0.0.0/8' },
    'network: {proxy: {url: "http://proxy.corp:3128", username: NAME, password: env:VARIABLE, no_proxy: [".corp.example", "10.0.0.0/8"]}}',
  ],
  [{ ALL_PROXY: 'socks5://proxy.corp' }, 'network: {proxy: "http://HOST:PORT"}'],
])('of %j the line is told, and never a login', (env, line) => {
  const unused = unusedProxy(env);
  expect(unused).toEqual({
    note: `${Object.keys(env)[0]} is set here, and bottles do not go out by it unless config.yaml says so`,
    line,
  });
});

test('nothing is said where nothing is set', () => {
  expect(unusedProxy({ NO_PROXY: 'x', HTTPS_PROXY: '' })).toBeUndefined();
});
