/** The real gitleaks for tests, where an image build would find it too. */
import path from 'node:path';
import { findProgram, PROGRAM_HINTS } from '../../src/host/bundle-programs.ts';

/** The directory that holds it; undefined when there is none that runs here, and then the reason is on standard error. */
export async function gitleaksDirectory(): Promise<string | undefined> {
  const found = process.platform === 'linux' ? await findProgram('gitleaks') : undefined;
  if (found === undefined)
    console.error(`skipping what needs gitleaks, of which no Linux build is here: ${PROGRAM_HINTS.gitleaks}`);
  return found && path.dirname(found.path);
}
