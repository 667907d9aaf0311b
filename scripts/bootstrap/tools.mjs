// The tools of src/host/setup, which `bottle setup` gets as well: the Temporal CLI, gitleaks and smolvm. The build comes
// first, since they are in it. What is not required and cannot be had is said, and everything else goes on.
import { Refusal } from './refusal.mjs';

const NAMES = ['Temporal CLI', 'gitleaks', 'smolvm'];

export const tools = NAMES.map((name) => {
  const thing = async () => (await import('../../dist/tooling.js')).TOOL_THINGS.find((each) => each.name === name);
  return {
    name,
    look: async () => (await thing()).look(),
    plan: 'its release, else what builds it here; some minutes at most, once',
    provide: async (say) => {
      const { provide, required, without, hint } = await thing();
      try {
        await provide(say);
      } catch (error) {
        if (required) throw new Refusal(`the ${name} is not installed: ${error.message}`, hint);
        return `not found (${error.message}): ${without}`;
      }
    },
  };
});
