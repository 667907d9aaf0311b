/** What every agent's module must keep to, whoever's program it is: `AgentProvider` in src/core/providers/provider.ts. */
import { describe, expect, test } from 'vitest';
import { GUEST } from '../../src/core/plan.ts';
import type { AgentProvider, ProviderContext } from '../../src/core/providers/provider.ts';

const ALONE: ProviderContext = {
  modelUrl: null,
  credential: null,
  superviseUrl: null,
  promptEmpty: true,
  caBundle: null,
};
const MODEL_URL = 'http://egress:9099/some-route';
const SUPERVISE_URL = 'http://10.9.8.7:9100/mcp';
const CONTEXTS: ProviderContext[] = [ALONE].flatMap((alone) =>
  [null, MODEL_URL].flatMap((modelUrl) =>
    ([null, 'auth_token', 'api_key'] as const).flatMap((credential) =>
      [null, SUPERVISE_URL].flatMap((superviseUrl) =>
        [null, GUEST.caBundle].map((caBundle) => ({ ...alone, modelUrl, credential, superviseUrl, caBundle })),
      ),
    ),
  ),
);
/** The beginnings of real keys, which the scanner refuses, and a person takes for one. */
const KEY_LIKE = /sk-|ghp_|AKIA|eyJ/;

export function providerContract(template: string, provider: AgentProvider): void {
  const everything = (context: ProviderContext): string =>
    JSON.stringify([provider.files(context), provider.environment(context), provider.defaults]);

  describe(`the agent ${template}`, () => {
    test('is called what the manifest calls it, and so is its program', () => {
      expect(provider.template).toBe(template);
      expect(provider.argv({ promptEmpty: true }, [])[0]).toBe(template);
    });

    test('has a route of its own, and a model at a plain https address', () => {
      expect(provider.route).toMatch(/^[a-z0-9.:_-]+$/);
      expect(provider.modelUrl).toMatch(/^https:\/\/[^/?#@\s]+(\/[^?#\s]*[^/?#\s])?$/);
      expect(provider.hosts).toContain(new URL(provider.modelUrl).hostname);
    });

    test.each(CONTEXTS)('says the same twice, of %j', (context) => {
      expect(everything(context)).toBe(everything(context));
    });

    test.each(CONTEXTS)("writes files into the agent's home only, for the agent alone, each once, of %j", (context) => {
      const files = provider.files(context);
      for (const { path, mode, text } of files) {
        expect(path).toMatch(new RegExp(`^${GUEST.home}/\\.[^/]+(/[^/]+)*$`));
        expect(path).not.toMatch(/\/\.\.?(\/|$)/);
        expect(mode & 0o077).toBe(0);
        expect(text).not.toContain('\0');
      }
      expect(new Set(files.map(({ path }) => path)).size).toBe(files.length);
    });

    test.each(CONTEXTS)(
      'leads to its model and its operator when there is a way, and to neither when there is none: %j',
      (context) => {
        expect(everything(context).includes(MODEL_URL)).toBe(context.modelUrl !== null);
        expect(everything(context).includes(SUPERVISE_URL)).toBe(context.superviseUrl !== null);
      },
    );

    test.each(CONTEXTS)('holds nothing that looks like a key, of %j', (context) => {
      expect(everything(context)).not.toMatch(KEY_LIKE);
    });

    test('lets a manifest set nothing that leads to its model', () => {
      for (const context of CONTEXTS)
        for (const name of Object.keys(provider.environment(context)))
          expect(provider.defaults).not.toHaveProperty(name);
    });

    test.each(['auth_token', 'api_key'] as const)('puts %s on a request by reference', (credential) => {
      const auth = provider.auth(credential, 'env:SOME_KEY');
      expect(auth.secret).toBe('env:SOME_KEY');
      expect(['Bearer', 'token', 'basic', 'header']).toContain(auth.scheme);
    });

    test('keeps what a person adds to its command, in order and as it is', () => {
      for (const promptEmpty of [true, false]) {
        const argv = provider.argv({ promptEmpty }, ['--flag', "it's $HOME", '']);
        expect(argv.slice(-3)).toEqual(['--flag', "it's $HOME", '']);
      }
    });

    test('has its skills in a folder of the agent', () => {
      expect(provider.skillsDirectory).toMatch(new RegExp(`^${GUEST.home}/\\.[a-z]+/skills$`));
    });
  });
}
