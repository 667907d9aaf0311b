// gitleaks for the bundle, a Linux program whatever this computer is: found, or built with Go. Where neither is possible,
// `bottle image build` tries an image that holds it, and without it a bottle simply cannot have a push gate.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { builtProgram, goInstall, hasGo } from './go-install.mjs';
import { pins } from './places.mjs';
import { which } from './processes.mjs';

const { version, module } = pins.programs.gitleaks;
const GO_ARCH = { x64: 'amd64', arm64: 'arm64' };

export const gitleaks = {
  name: 'gitleaks',
  look: async () => {
    const own = process.env.BOTTLE_TOOLS && join(process.env.BOTTLE_TOOLS, 'gitleaks');
    if (own && existsSync(own)) return own;
    const onPath = process.platform === 'linux' ? await which('gitleaks') : undefined;
    if (onPath) return onPath;
    if (existsSync(builtProgram('gitleaks', version))) return `${version}, built here`;
    return (await hasGo()) ? undefined : 'not found, and no Go to build it with: bottles get no push gate';
  },
  plan: `${version}: go install, half a minute, once`,
  provide: () => goInstall({ name: 'gitleaks', version, module, os: 'linux', arch: GO_ARCH[process.arch] }),
};
