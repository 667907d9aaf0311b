/** Which smolvm bottle works with. */
import { stat } from 'node:fs/promises';
import { execa } from 'execa';
import { BottleError } from '../../../core/errors.ts';
import { cannotRun, type SmolvmProgram } from './cli.ts';

/** Before it, `create --from` forgets `--allow-cidr`: the machine is open, whatever was asked (smolvm a75b5808). */
const CONFINES_SINCE = '1.8.0';
/**
 * Measured: `exec --user` is in 1.18.0, `--error-format` and `stop --timeout` in 1.28.1 and not in 1.27.0, `--state-dir` in
 * 1.31.0 and not in 1.29.1.
 */
const UNDERSTANDS_SINCE = '1.31.0';
const ASK_MS = 10_000;

/** Of each path, the file that was asked, and what it said. */
const known = new Map<string, { file: string; version: Promise<string> }>();

/**
 * Asks the program for its version: once, and again when another file stands at its path.
 * @returns such as `1.32.2`
 * @throws BottleError `DRIVER_UNAVAILABLE` for one that is too old, or is no smolvm
 */
export async function assertVersion(program: SmolvmProgram): Promise<string> {
  const { path } = program;
  const file = await identityOf(path);
  const asked = known.get(path);
  if (asked?.file === file) return asked.version;
  const version = askVersion(program).then((said) => assertUsable(path, said));
  known.set(path, { file, version });
  // It may be mended in ways that its file does not show.
  version.catch(() => known.delete(path));
  return version;
}

/** Changes whenever the program is replaced, by an installer or by hand. Of one that is not there, asking tells. */
async function identityOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? '' : [found.dev, found.ino, found.size, found.mtimeMs].join();
}

async function askVersion(program: SmolvmProgram): Promise<string> {
  const result = await execa(program.path, ['--version'], { reject: false, timeout: ASK_MS, stdin: 'ignore' });
  if (result.exitCode === undefined && result.signal === undefined) throw cannotRun(program, result.cause);
  const version = /^smolvm (\d+\.\d+\.\d+)/.exec(result.stdout)?.[1];
  if (version !== undefined) return version;
  throw new BottleError('DRIVER_UNAVAILABLE', `${program.path} does not say that it is smolvm`, {
    hint: `look at what it prints: ${program.path} --version`,
  });
}

/** @throws BottleError `DRIVER_UNAVAILABLE` */
export function assertUsable(path: string, version: string): string {
  const hint = `install ${UNDERSTANDS_SINCE} or newer; bottle doctor says how`;
  if (isBefore(version, CONFINES_SINCE)) {
    throw new BottleError(
      'DRIVER_UNAVAILABLE',
      `smolvm ${version} (${path}) does not keep a machine from the internet: its network policy holds since ${CONFINES_SINCE}`,
      { hint },
    );
  }
  if (isBefore(version, UNDERSTANDS_SINCE)) {
    throw new BottleError(
      'DRIVER_UNAVAILABLE',
      `smolvm ${version} (${path}) has no state directory of its own choosing, which bottle needs: --state-dir is there since ${UNDERSTANDS_SINCE}`,
      { hint },
    );
  }
  return version;
}

function isBefore(one: string, other: string): boolean {
  const [a, b] = [one, other].map((version) => version.split('.').map(Number)) as [number[], number[]];
  const at = a.findIndex((part, index) => part !== b[index]);
  return at !== -1 && (a[at] as number) < (b[at] as number);
}
