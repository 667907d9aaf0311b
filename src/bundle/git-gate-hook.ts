/**
 * The pre-receive hook of every mirror (githooks(5)): what is pushed lies in quarantine, and nothing has moved yet. It
 * judges all of a push, then forwards it; only when upstream has taken it do the mirror's own refs move.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { type RefChange, refusalOf } from '../core/branch-rules.ts';
import { run } from './git-gate-command.ts';
import { findSecrets } from './git-gate-scan.ts';
import { HOOK_SETTINGS, type HookSettings } from './git-gate-settings.ts';
import { clean, printable, upstreamReason } from './git-gate-text.ts';

/** What became of a push, for the gate's log: a file in the mirror that the hook writes and the gate reads. */
export const PUSH_RECORD = 'bottle-push.json';

export interface PushRecord {
  event: 'push' | 'refused';
  /** Escaped, the first few. */
  refs: string[];
  /** `ok`, or why not. */
  status: string;
}

interface Push extends RefChange {
  old: string;
  new: string;
}

/** Each is an argument of git, several times over. */
const MAX_REFS = 500;
const MAX_REFS_LOGGED = 20;

/** Runs the hook: changes from standard input, words for the agent to standard error, the verdict as the exit code. */
export async function runGitHook(): Promise<void> {
  process.exitCode = 1; // until all is well
  const settings = JSON.parse(await readFile(process.env[HOOK_SETTINGS] ?? '', 'utf8')) as HookSettings;
  const lines = (await text(process.stdin)).split('\n').filter((line) => line !== '');
  const tell = (line: string) => process.stderr.write(`git-gate: ${clean(settings.secrets, line)}\n`);
  const refs: string[] = [];
  const complaints = await judge().catch((error: Error) => [`the gate failed: ${error.message}`]);
  for (const complaint of complaints) tell(complaint);
  const passed = complaints.length === 0;
  const status = passed ? 'ok' : printable(clean(settings.secrets, complaints.join('; ')), 1000);
  const record: PushRecord = { event: passed ? 'push' : 'refused', refs: refs.slice(0, MAX_REFS_LOGGED), status };
  await writeFile(PUSH_RECORD, JSON.stringify(record)).catch(() => {}); // only the log misses it
  if (passed) process.exitCode = 0;

  /** What is wrong with the push, a line each; nothing when upstream has taken it. */
  async function judge(): Promise<string[]> {
    if (lines.length > MAX_REFS) return [`more than ${MAX_REFS} branches and tags at once: push them in parts`];
    const pushes: Push[] = [];
    for (const line of lines) pushes.push(await pushOf(line));
    refs.push(...pushes.map(({ kind, ref }) => `${kind} ${printable(ref)}`));
    const refusals = pushes.flatMap((push) => {
      const refusal = refusalOf(settings, push);
      return refusal === undefined ? [] : `${printable(push.ref)} ${refusal}`;
    });
    if (refusals.length > 0) return refusals;
    const tips = pushes.flatMap((push) => (push.kind === 'delete' ? [] : push.new));
    const findings = await findSecrets(tips, process.env);
    return findings.length > 0 ? findings : forward(settings.upstream, pushes, tell);
  }
}

async function pushOf(line: string): Promise<Push> {
  const [, before = '', after = '', ref = ''] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
  return { ref, old: before, new: after, kind: await kindOf(before, after, ref) };
}

async function kindOf(before: string, after: string, ref: string): Promise<Push['kind']> {
  if (isNone(after)) return 'delete';
  if (isNone(before)) return 'create';
  if (ref.startsWith('refs/tags/')) return 'force';
  const { code } = await run(['git', 'merge-base', '--is-ancestor', before, after], { env: process.env });
  return code === 0 ? 'update' : 'force';
}

/** Pushes to upstream what is still in quarantine here, provided that upstream is where the agent believes it is. */
async function forward(upstream: string, pushes: Push[], tell: (line: string) => void): Promise<string[]> {
  const { GIT_QUARANTINE_PATH: _quarantine, GIT_PROTOCOL: _protocol, ...env } = process.env;
  const id = (object: string) => (isNone(object) ? '' : object);
  const argv = ['git', 'push', ...(pushes.length > 1 ? ['--atomic'] : [])]; // which not every upstream can
  argv.push(...pushes.map(({ ref, old }) => `--force-with-lease=${ref}:${id(old)}`), '--', upstream);
  argv.push(...pushes.map((push) => `${id(push.new)}:${push.ref}`));
  const { code, stderr } = await run(argv, { env });
  const said = stderr.split('\n').flatMap((line) => (/^remote:| ! \[/.test(line) ? `upstream: ${line.trim()}` : []));
  if (code === 0) {
    said.forEach(tell);
    return [];
  }
  if (!/^ ! \[/m.test(stderr)) return [upstreamReason(stderr)];
  const moved = /\((?:stale info|fetch first)\)/.test(stderr);
  return [...said, ...(moved ? ['the upstream has moved meanwhile: fetch, rebase and push again'] : [])];
}

function isNone(object: string): boolean {
  return /^0+$/.test(object);
}
