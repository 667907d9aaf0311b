// The Temporal CLI, which holds the embedded server: on PATH, else in our cache, else built into it with Go.
import { existsSync } from 'node:fs';
import { builtProgram, goInstall, hasGo } from './go-install.mjs';
import { pins } from './places.mjs';
import { which } from './processes.mjs';
import { Refusal } from './refusal.mjs';

const { version, module } = pins.tools.temporal;

export const temporalCli = {
  name: 'Temporal CLI',
  look: async () => {
    const onPath = await which('temporal');
    if (onPath) return onPath;
    return existsSync(builtProgram('temporal', version)) ? `${version}, built here` : undefined;
  },
  plan: `${version}: go install, about 4 minutes, once`,
  provide: async () => {
    if (!(await hasGo())) {
      throw new Refusal(
        'the Temporal CLI is not installed, and there is no Go to build it with',
        'brew install temporal, or its own installer, or install Go',
      );
    }
    await goInstall({ name: 'temporal', version, module });
  },
};
