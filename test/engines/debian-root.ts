/** Root file systems of other Debian suites, made of packages by mmdebstrap, and kept in the cache under what they are made of. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';

/** Of the package debian-archive-keyring: it signs every suite. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Suites that move on are looked at anew after this long. */
const MOVING = new Set(['sid', 'testing', 'unstable']);
const WEEK_MS = 7 * 24 * 3_600_000;

export interface DebianRoot {
  suite: string;
  packages: readonly string[];
}

/**
 * @param directory where they are kept
 * @returns the folder of one, which nobody may write to
 * @throws Error when this computer cannot make one, with what is missing
 */
export async function debianRoot(wanted: DebianRoot, directory: string): Promise<string> {
  const mirror = await debianMirror();
  const packages = [...wanted.packages].sort();
  const week = MOVING.has(wanted.suite) ? Math.floor(Date.now() / WEEK_MS) : 0;
  const made = [wanted.suite, mirror, process.arch, week, ...packages].join('\n');
  const key = createHash('sha256').update(made).digest('hex').slice(0, 12);
  const root = path.join(directory, `${wanted.suite}-${key}`);
  if (existsSync(root)) return root;
  await mkdir(directory, { recursive: true });
  // Named when it is whole: a half-made one is never taken for it, and of two made at once one wins.
  await removeUnfinished(directory);
  const making = await mkdtemp(path.join(directory, `making-${process.pid}-`));
  try {
    // In namespaces of its own: what it mounts must be gone with it when it is killed, or a removal would go into that.
    await execa(
      'unshare',
      [
        ...['--mount', '--pid', '--fork', '--kill-child=SIGKILL', '--propagation', 'private'],
        ...['mmdebstrap', '--quiet', '--variant=apt', '--aptopt=APT::Install-Recommends "false"'],
        // A suite that is not the computer's own may be served from a snapshot, which is old by intent.
        ...['--aptopt=Acquire::Check-Valid-Until "false"', `--include=${packages.join(',')}`],
        ...[wanted.suite, path.join(making, 'root'), `deb [signed-by=${KEYRING}] ${mirror} ${wanted.suite} main`],
      ],
      { stdin: 'ignore' },
    );
    await rename(path.join(making, 'root'), root).catch((error: unknown) => {
      if (!existsSync(root)) throw error;
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return root;
}

/** What a killed run has left of one that was being made. */
async function removeUnfinished(directory: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    const pid = /^making-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await rm(path.join(directory, name), { recursive: true });
  }
}

/** Where this computer's own packages come from. */
async function debianMirror(): Promise<string> {
  const release = readFileSync('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1];
  const format = '$(RELEASE) $(SITE)';
  const { stdout } = await execa('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  const [, site] =
    stdout
      .split('\n')
      .map((line) => line.split(' '))
      .find(([suite]) => suite === codename) ?? [];
  if (site === undefined) throw new Error(`apt's configuration names no mirror of ${codename}`);
  return site;
}
