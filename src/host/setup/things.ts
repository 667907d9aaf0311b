/**
 * What bottle needs beside itself and a Docker Engine, each with how to get it: the one list behind `bottle setup` and
 * the bootstrap of a checkout. Runs on Node 20, which the bootstrap may have.
 */
import process from 'node:process';
import { BottleError } from '../../core/errors.ts';
import { chooseProgram, findProgram, PROGRAM_HINTS } from '../bundle-programs.ts';
import { type Arch, readPins } from '../pins.ts';
import { hasPip } from '../python-package.ts';
import { findSmolvm, obtainSmolvm } from '../smolvm-package.ts';
import { findTool } from '../tools.ts';
import { goInstall, hasGo } from './go-install.ts';
import { obtainRelease, type Release } from './release.ts';

export interface Thing {
  name: string;
  /** What there is, in a few words; undefined when it has to be got. Changes nothing. */
  look(): Promise<string | undefined>;
  /** What getting it means, and how long that takes. */
  plan: string;
  /** @throws BottleError that says why it cannot be had */
  provide(say: (line: string) => void): Promise<void>;
  /** What follows where it cannot be had; a thing without which no bottle is launched is `required`. */
  without: string;
  required: boolean;
  hint?: string;
}

const GO_ARCH = { x64: 'amd64', arm64: 'arm64' };

const temporalCli: Thing = {
  name: 'Temporal CLI',
  look: async () => {
    const found = await findTool('temporal');
    return found && `${found.version}, ${found.path}`;
  },
  plan: 'its release; else go install, some minutes, once',
  provide: async (say) => {
    const { version, module } = (await readPins()).tools.temporal;
    const release: Release = {
      name: 'temporal',
      version,
      repository: 'temporalio/cli',
      archive: 'temporal_cli_{version}_{os}_{arch}.tar.gz',
      checksums: 'checksums.txt',
      arch: GO_ARCH,
    };
    await firstOf(say, [
      () => obtainRelease(release, process, say),
      () => byGo(say, { name: 'temporal', version, module }),
    ]);
  },
  without: 'there is no embedded server: name another one in TEMPORAL_ADDRESS',
  required: true,
  hint: 'brew install temporal, or its own installer, or install Go; then once more',
};

const gitleaks: Thing = {
  name: 'gitleaks',
  look: async () => {
    const found = await findProgram('gitleaks');
    return found && `${found.path} (${found.source})`;
  },
  plan: 'its release; else go install, half a minute, once',
  provide: async (say) => {
    const { version, module } = (await readPins()).programs.gitleaks;
    const release: Release = {
      name: 'gitleaks',
      version,
      repository: 'gitleaks/gitleaks',
      archive: 'gitleaks_{version}_{os}_{arch}.tar.gz',
      checksums: 'gitleaks_{version}_checksums.txt',
      arch: { x64: 'x64', arm64: 'arm64' },
    };
    const arch = GO_ARCH[process.arch as Arch];
    await firstOf(say, [
      () => obtainRelease(release, forBundle, say),
      () => byGo(say, { name: 'gitleaks', version, module: module ?? '', os: 'linux', arch }),
    ]);
  },
  without: 'bottles get no push gate',
  required: false,
  hint: PROGRAM_HINTS.gitleaks,
};

/** A Linux program, whatever this computer is. */
const forBundle = { platform: 'linux', arch: process.arch };

const pipelock: Thing = {
  name: 'pipelock',
  look: async () => {
    const found = await findProgram('pipelock');
    return found && `${found.path} (${found.source})`;
  },
  plan: 'its release',
  provide: async (say) => {
    const { version } = (await readPins()).programs.pipelock;
    const release: Release = {
      name: 'pipelock',
      version,
      repository: 'luckyPipewrench/pipelock',
      archive: 'pipelock_{version}_{os}_{arch}.tar.gz',
      checksums: 'checksums.txt',
      arch: GO_ARCH,
    };
    const file = await obtainRelease(release, forBundle, say);
    await chooseProgram('pipelock', process.arch as Arch, file);
  },
  without: "the allow-list proxy stands in the scanner's place: hosts are checked, contents are not scanned",
  required: false,
  hint: PROGRAM_HINTS.pipelock,
};

const smolvm: Thing = {
  name: 'smolvm',
  look: async () => {
    const found = await findSmolvm();
    return found && `${found.version}, ${found.path}`;
  },
  plan: '44 MB by pip, some seconds, once',
  provide: async (say) => {
    if (!(await hasPip())) throw new BottleError('TOOL_MISSING', 'no pip to get it with');
    await obtainSmolvm(say);
  },
  without: 'no driver smolvm; driver docker needs none',
  required: false,
};

export const TOOL_THINGS: readonly Thing[] = [temporalCli, gitleaks, smolvm];
/** What a checkout does without: its tests are to be the same everywhere. */
export const SETUP_THINGS: readonly Thing[] = [temporalCli, gitleaks, pipelock, smolvm];

async function byGo(say: (line: string) => void, program: Parameters<typeof goInstall>[0]): Promise<void> {
  if (!(await hasGo())) throw new BottleError('TOOL_MISSING', 'there is no Go to build it with');
  say(`building ${program.name} ${program.version} with Go`);
  await goInstall(program);
}

/** One way after the other; why each failed is told when none is left. */
async function firstOf(say: (line: string) => void, ways: readonly (() => Promise<unknown>)[]): Promise<void> {
  const reasons: string[] = [];
  for (const way of ways) {
    try {
      await way();
      return;
    } catch (error) {
      if (!BottleError.is(error)) throw error;
      reasons.push(error.message);
      if (reasons.length < ways.length) say(error.message);
    }
  }
  throw new BottleError('TOOL_MISSING', reasons.join('; '));
}
