/**
 * Looks for secrets in everything a push would add: the changes of every new commit, and the texts of commits and tags.
 * gitleaks gives up in the middle without saying so when its reading of `git log` fails, so its own count of what it has
 * read is compared with ours. Anything but a whole scan is an error.
 */
import { run } from './git-gate-command.ts';
import { addedBytes } from './git-gate-diff.ts';
import { printable } from './git-gate-text.ts';

interface Finding {
  RuleID: string;
  File: string;
  StartLine: number;
  Commit: string;
}

const MAX_SHOWN = 20;
const FOUND = 42;
/** gitleaks reads standard input in pieces and parts them at an empty line, if there is one near enough. */
const MAX_PARAGRAPH = 20_000;

/**
 * @param tips objects that refs are to point to
 * @param env of a git process in the repository, new objects included
 * @returns what is wrong, a line each; never a secret
 * @throws Error when it cannot be told
 */
export async function findSecrets(tips: readonly string[], env: NodeJS.ProcessEnv): Promise<string[]> {
  const git = async (args: readonly string[], input?: string) => {
    const { code, stdout, stderr } = await run(['git', ...args], { env, ...(input === undefined ? {} : { input }) });
    if (code !== 0) throw new Error(`git ${args[0]}: ${printable(stderr)}`);
    return stdout.toString('latin1'); // bytes as they are
  };
  if (tips.length === 0) return [];
  const peeled = await git(
    ['cat-file', '--batch-check=%(objecttype)'],
    tips.map((tip) => `${tip}^{commit}\n`).join(''),
  );
  if (!/^(?:commit\n)+$/.test(peeled)) return ['only commits, and tags of commits, can be pushed'];
  const range = [...tips, '--not', '--all'];
  // Commits and tags, with neither trees nor files.
  const objects = await git(['rev-list', '--objects', '--no-object-names', '--filter=tree:0', ...range]);
  if (objects === '') return [];

  const log = ['--text', '-m', ...range];
  const messages = messagesOf(await git(['cat-file', '--batch'], objects));
  const [expected, inChanges, inMessages] = await Promise.all([
    addedBytes(log, env),
    gitleaks(['git', '.', `--log-opts=${log.join(' ')}`], { env }),
    gitleaks(['stdin'], { env, input: Buffer.from(messages.text, 'latin1') }),
  ]);
  if (inChanges.bytes !== expected || inMessages.bytes !== messages.text.length) {
    throw new Error('gitleaks did not read all of it');
  }
  // A merge is looked at from each parent, and may show the same thing twice.
  const found = new Set([
    ...(await withoutMerged(inChanges.findings, git)).map(
      ({ RuleID, File, StartLine, Commit }) =>
        `${RuleID} in ${printable(File)}:${StartLine} of commit ${short(Commit)}`,
    ),
    ...inMessages.findings.map(({ RuleID, StartLine }) => `${RuleID} in the text of ${messages.objectAt(StartLine)}`),
  ]);
  if (found.size === 0) return [];
  return [
    `gitleaks found ${found.size === 1 ? 'a secret' : `${found.size} secrets`}:`,
    ...[...found].slice(0, MAX_SHOWN).map((line) => `  ${line}`),
    ...(found.size > MAX_SHOWN ? [`  and ${found.size - MAX_SHOWN} more`] : []),
    'take it out of every commit that has it: a later commit that removes it is not enough',
  ];
}

async function gitleaks(
  command: readonly string[],
  options: { env: NodeJS.ProcessEnv; input?: Buffer },
): Promise<{ findings: Finding[]; bytes: number }> {
  const flags = ['--no-banner', '--no-color', '--redact=100', `--exit-code=${FOUND}`, '--ignore-gitleaks-allow'];
  const report = ['--log-level=info', '--report-format=json', '--report-path=-'];
  const { code, stdout, stderr } = await run(['gitleaks', ...command, ...flags, ...report], options);
  if (code !== 0 && code !== FOUND) throw new Error(`gitleaks ended with exit code ${code}`);
  const bytes = Number(/ scanned ~(\d+) bytes /.exec(stderr)?.[1] ?? 0); // nothing to read, nothing said
  return { findings: JSON.parse(stdout.toString()) as Finding[], bytes };
}

/** The texts of commits and tags one below the other, from what `git cat-file --batch` printed (as latin1). */
function messagesOf(batch: string): { text: string; objectAt(line: number): string } {
  const starts: { line: number; object: string }[] = [];
  let text = 'git-gate\n\n'; // so that the first bytes never look like those of an archive, which would not be read
  let line = 3;
  for (let at = 0; at < batch.length; ) {
    const [header = '', id = '', type = '', size = '0'] = /^(\w+) (\w+) (\d+)\n/.exec(batch.slice(at, at + 200)) ?? [];
    if (header === '') throw new Error('git cat-file does not say what was asked');
    const content = batch.slice(at + header.length, at + header.length + Number(size));
    at += header.length + content.length + 1;
    if (content.split('\n\n').some((paragraph) => paragraph.length > MAX_PARAGRAPH)) {
      throw new Error(`a paragraph in the text of ${type} ${short(id)} is too long to be looked at`);
    }
    const [head = '', ...body] = content.split('\n\n');
    // Names of objects look like keys to some rules.
    const plain = `${[head.replace(/^(?:tree|parent|object) .*\n/gm, ''), ...body].join('\n\n')}\n\n`;
    starts.push({ line, object: `${type} ${short(id)}` });
    line += plain.split('\n').length - 1;
    text += plain;
  }
  return { text, objectAt: (found) => starts.findLast((start) => start.line <= found)?.object ?? 'a commit' };
}

/** Without what a merge only brings in: a file that is the same in one of its parents is new with that parent, or not at all. */
async function withoutMerged(
  findings: readonly Finding[],
  git: (args: string[]) => Promise<string>,
): Promise<Finding[]> {
  const merged = new Map<string, Set<string>>();
  for (const commit of new Set(findings.map(({ Commit }) => Commit))) {
    const names = async (how: string) => {
      const output = await git(['diff-tree', how, '-r', '-z', '--name-only', '--no-commit-id', commit]);
      return Buffer.from(output, 'latin1').toString().split('\0');
    };
    const [changed, changedFromAll] = [await names('-m'), new Set(await names('-c'))];
    merged.set(commit, new Set(changed.filter((name) => !changedFromAll.has(name))));
  }
  return findings.filter(({ Commit, File }) => merged.get(Commit)?.has(File) !== true);
}

function short(id: string): string {
  return id.slice(0, 10);
}
