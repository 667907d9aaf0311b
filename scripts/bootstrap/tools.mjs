// The tools of src/host/setup, which `bottle setup` gets as well: the Temporal CLI, gitleaks and smolvm. The build comes
// first, since they are in it. What is not required and cannot be had is said, and everything else goes on.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { node24Path } from './places.mjs';
import { Refusal } from './refusal.mjs';

const provideScript = fileURLToPath(new URL('provide-tool.mjs', import.meta.url));

const NAMES = ['Temporal CLI', 'gitleaks', 'smolvm'];

export const tools = NAMES.map((name) => {
  const thing = async () => (await import('../../dist/tooling.js')).TOOL_THINGS.find((each) => each.name === name);
  return {
    name,
    look: async () => (await thing()).look(),
    plan: 'its release, else what builds it here; some minutes at most, once',
    provide: async (say) => {
      const { required, without, hint } = await thing();
      const why = await provide(name, say);
      if (why === undefined) return undefined;
      if (required) throw new Refusal(`the ${name} is not installed: ${why}`, hint);
      return `not found (${why}): ${without}`;
    },
  };
});

/** @returns why it cannot be had; undefined when it is there */
function provide(name, say) {
  return new Promise((resolve, reject) => {
    const child = fork(provideScript, [name], { execPath: node24Path, execArgv: [] });
    let why;
    child.on('message', ({ line, error }) => {
      if (error === undefined) say(line);
      else why = error;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code === 0 ? why : (why ?? `getting it ended with ${signal ?? code}`)));
  });
}
