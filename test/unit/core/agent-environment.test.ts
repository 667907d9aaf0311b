import { expect, test } from 'vitest';
import { agentEnvironment } from '../../../src/core/agent-environment.ts';
import { networkFacts } from '../../../src/core/subnet.ts';

const network = networkFacts('bottle-demo', '10.214.3.16/28');
const proxy = 'http://10.214.3.18:8888';

test("every program's spelling of the proxy names the bundle", () => {
  const env = agentEnvironment(network, {});
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) expect(env[name]).toBe(proxy);
  for (const name of ['NO_PROXY', 'no_proxy']) expect(env[name]).toBe('10.214.3.18,localhost,127.0.0.1');
});

test("the manifest's variables win over ours, but not over the only way out", () => {
  const env = agentEnvironment(network, {
    LANG: 'de_DE.UTF-8',
    DISABLE_AUTOUPDATER: '0',
    MINE: 'x',
    HTTPS_PROXY: 'http://elsewhere:1',
    no_proxy: '*',
  });
  expect(env).toMatchObject({ LANG: 'de_DE.UTF-8', DISABLE_AUTOUPDATER: '0', MINE: 'x', HTTPS_PROXY: proxy });
  expect(env['no_proxy']).toBe('10.214.3.18,localhost,127.0.0.1');
});

test('the given variables are left as they are', () => {
  const given = Object.freeze({ A: '1' });
  agentEnvironment(network, given);
  expect(given).toEqual({ A: '1' });
});
