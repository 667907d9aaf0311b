import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execaSync } from 'execa';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AgentClone, type GitGateSite, gitGateSite } from '../../support/git-gate-site.ts';
import { gitleaksDirectory } from '../../support/gitleaks.ts';

const gitleaks = await gitleaksDirectory();
const pathBefore = process.env['PATH'];
const PATH = `${gitleaks}${path.delimiter}${pathBefore}`;
process.env['PATH'] = PATH;
afterAll(() => {
  process.env['PATH'] = pathBefore;
});

// In pieces, so that nobody's scanner takes this file for a leak.
const AWS_KEY = ['AKIA', 'QYLPMN5HHHFPZAM2'].join('');
const GITHUB_TOKEN = ['ghp_', 'x9Kd72LmQpR4sT8vWz3Bc6Fh1Jn5Yt0aEuGi'].join('');

let site: GitGateSite;
let clone: AgentClone;
beforeEach(async () => {
  process.env['PATH'] = PATH;
  site = await gitGateSite();
  clone = await site.clone();
});
afterEach(() => site.dispose());

const short = (id: string) => id.slice(0, 10);

/** Neither side knows `ref` at `object`. */
async function expectNowhere(ref: string, object: string): Promise<void> {
  expect(site.upstream.refs()[ref]).not.toBe(object);
  expect((await site.mirror())[ref]).not.toBe(object);
}

/** Both sides have `ref` at `object`. */
async function expectEverywhere(ref: string, object: string | undefined): Promise<void> {
  expect(site.upstream.refs()[ref]).toBe(object);
  expect((await site.mirror())[ref]).toBe(object);
}

/** The last line of the log is like this: it comes when all of the push is over, so after the agent's git. */
async function expectLogged(event: object): Promise<void> {
  await vi.waitFor(() => expect(site.events.at(-1)).toMatchObject(event));
}

/** Pushes, and expects that it is refused on all sides with just these findings and without the secret. */
async function expectFound(findings: string[], ...refspecs: string[]): Promise<string> {
  const [upstreamBefore, mirrorBefore] = [site.upstream.refs(), await site.mirror()];
  const { code, output } = await clone.git('push', 'origin', ...refspecs);
  expect(code).toBe(1);
  const shown = [...output.matchAll(/^remote: git-gate: {3}(.*?) *$/gm)].map(([, line]) => line);
  expect(shown.toSorted(), output).toEqual(findings.toSorted());
  for (const secret of [AWS_KEY, GITHUB_TOKEN]) {
    expect(output).not.toContain(secret);
    expect(JSON.stringify(site.events)).not.toContain(secret);
  }
  expect(site.upstream.refs()).toEqual(upstreamBefore);
  expect(await site.mirror()).toEqual(mirrorBefore);
  return output;
}

describe.skipIf(gitleaks === undefined)('a push with a secret is refused', () => {
  it('when a commit in its middle adds it and a later one takes it away', async () => {
    await clone.commit({ 'a.txt': 'harmless\n' });
    const bad = await clone.commit({ 'config/app.env': `# app\nname=x\nid=${AWS_KEY}\n` });
    await clone.commit({ 'config/app.env': '# app\n' });
    const output = await expectFound([`aws-access-token in config/app.env:3 of commit ${short(bad)}`], 'main');
    expect(output).toContain('take it out of every commit that has it');
    await expectLogged({ event: 'refused', repo: 'project', refs: ['update refs/heads/main'] });
  });

  it('when a merge adds it, though neither side of the merge has it', async () => {
    await clone.must('checkout', '--quiet', '-b', 'side');
    await clone.commit({ 'side.txt': 'side\n' });
    await clone.must('checkout', '--quiet', 'main');
    await clone.commit({ 'main.txt': 'main\n' });
    await clone.must('merge', '--quiet', '--no-commit', 'side');
    const merge = await clone.commit({ 'main.txt': `main\n${GITHUB_TOKEN}\n` }, 'merge');
    await expectFound([`github-pat in main.txt:2 of commit ${short(merge)}`], 'main');
  });

  it('when it is on a side branch that was merged', async () => {
    await clone.must('checkout', '--quiet', '-b', 'side');
    const bad = await clone.commit({ 'side.txt': `${AWS_KEY}\n` });
    await clone.commit({ 'side.txt': 'side\n' });
    await clone.must('checkout', '--quiet', 'main');
    await clone.commit({ 'main.txt': 'main\n' });
    await clone.must('merge', '--quiet', '--no-edit', 'side');
    await expectFound([`aws-access-token in side.txt:1 of commit ${short(bad)}`], 'main');
  });

  it('on a new branch and on one without a common beginning', async () => {
    const bad = await clone.commit({ 'a.txt': `${AWS_KEY}\n` });
    await expectFound([`aws-access-token in a.txt:1 of commit ${short(bad)}`], 'main:topic');
    await clone.must('checkout', '--quiet', '--orphan', 'island');
    const root = await clone.commit({ 'b.txt': `x\n${GITHUB_TOKEN}\n` });
    await expectFound(
      [`aws-access-token in a.txt:1 of commit ${short(root)}`, `github-pat in b.txt:2 of commit ${short(root)}`],
      'island',
    );
  });

  it('though its line says gitleaks:allow', async () => {
    const bad = await clone.commit({ 'a.py': `key = "${AWS_KEY}" # gitleaks:allow\n` });
    await expectFound([`aws-access-token in a.py:1 of commit ${short(bad)}`], 'main');
  });

  it('though its file looks like no text', async () => {
    const bad = await clone.commit({
      'data.db': Buffer.from(`\0\0\0\n\0 ${AWS_KEY} \0`),
      '.gitattributes': '*.db -diff\n',
    });
    await expectFound([`aws-access-token in data.db:2 of commit ${short(bad)}`], 'main');
  });

  it("though the repository's own .gitleaks.toml and .gitleaksignore permit it", async () => {
    const toml = '[allowlist]\nregexes = [".*"]\npaths = [".*"]\n';
    await clone.commit({ '.gitleaks.toml': toml, '.gitleaksignore': 'a.txt:aws-access-token:1\n' });
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
    const bad = await clone.commit({ 'a.txt': `${AWS_KEY}\n`, 'sub/.gitleaks.toml': toml });
    await clone.commit({ '.gitleaksignore': `${bad}:a.txt:aws-access-token:1\na.txt:aws-access-token:1\n` });
    await expectFound([`aws-access-token in a.txt:1 of commit ${short(bad)}`], 'main');
  });

  it('when the text of a commit has it, or the name of its author', async () => {
    const bad = await clone.commit({ 'a.txt': 'a\n' }, `work\n\nused ${AWS_KEY} for it`);
    const author = `--author=${GITHUB_TOKEN} <a@example.com>`;
    await clone.must('commit', '--quiet', '--allow-empty', '--message', 'more', author);
    const second = await clone.must('rev-parse', 'HEAD');
    await expectFound(
      [`aws-access-token in the text of commit ${short(bad)}`, `github-pat in the text of commit ${short(second)}`],
      'main',
    );
  });

  it('when the text of a tag has it, also of a tag that another tag hides', async () => {
    await clone.must('tag', '--annotate', '--message', `v1\n\n${AWS_KEY}`, 'v1');
    await clone.must('tag', '--annotate', '--message', 'v2', 'v2', 'v1');
    const tag = await clone.must('rev-parse', 'v1');
    await expectFound([`aws-access-token in the text of tag ${short(tag)}`], 'v1');
    await expectFound([`aws-access-token in the text of tag ${short(tag)}`], 'v2');
  });

  it('among thousands of commits, and in a long text', { timeout: 120_000 }, async () => {
    const stream = Array.from(
      { length: 3000 },
      (_, index) =>
        `commit refs/heads/many\ncommitter A <a@example.com> ${index} +0000\ndata <<END\n${`line ${index}\n\n`.repeat(20)}END\n`,
    );
    execaSync('git', ['fast-import', '--quiet'], { cwd: clone.directory, input: stream.join('\n') });
    await clone.must('checkout', '--quiet', 'many');
    const text = `${'a paragraph of some length\n\n'.repeat(6000)}${GITHUB_TOKEN}\n`;
    writeFileSync(path.join(clone.directory, '.git', 'text'), text);
    await clone.must('commit', '--quiet', '--allow-empty', '--file', '.git/text');
    const bad = await clone.must('rev-parse', 'HEAD');
    await clone.commit({ 'a.txt': 'a\n' });
    await expectFound([`github-pat in the text of commit ${short(bad)}`], 'many');
  });

  it('with the names of its files escaped', async () => {
    const bad = await clone.commit({ 'a\u001b[31m é\n.txt': `${AWS_KEY}\n` });
    await expectFound([`aws-access-token in a\\u{1b}[31m \\u{e9}\\u{a}.txt:1 of commit ${short(bad)}`], 'main');
  });

  it('with no more than twenty lines of it', async () => {
    await clone.commit({ 'a.txt': `${AWS_KEY}\n`.repeat(50) });
    const { output } = await clone.git('push', 'origin', 'main');
    expect(output).toContain('gitleaks found 50 secrets:');
    expect(output.match(/aws-access-token in a\.txt/g)).toHaveLength(20);
    expect(output).toContain('and 30 more');
  });
});

describe.skipIf(gitleaks === undefined)('a push without a secret of its own', () => {
  it('may merge what upstream has, whatever that is', async () => {
    await clone.commit({ 'mine.txt': 'mine\n' });
    site.upstream.commit('main', { 'fixture.txt': `${AWS_KEY}\n` });
    await clone.must('fetch', '--quiet');
    await clone.must('merge', '--quiet', '--no-edit', 'origin/main');
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/main', await clone.must('rev-parse', 'HEAD'));
  });

  it('may start a branch or a tag at what upstream has', async () => {
    const head = await clone.must('rev-parse', 'HEAD');
    expect(await clone.git('push', 'origin', 'main:topic', 'main:refs/tags/light')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/topic', head);
    await expectEverywhere('refs/tags/light', head);
  });

  it('passes with its annotated tag, to upstream as to the mirror', async () => {
    const head = await clone.commit({ 'a.txt': 'a\n' });
    await clone.must('tag', '--annotate', '--message', 'the first', 'v1');
    expect(await clone.git('push', '--follow-tags', 'origin', 'main')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/main', head);
    await expectEverywhere('refs/tags/v1', await clone.must('rev-parse', 'v1'));
    const refs = ['update refs/heads/main', 'create refs/tags/v1'];
    await expectLogged({ event: 'push', repo: 'project', status: 'ok', refs });
  });

  it('passes with any odd name of a file', async () => {
    await clone.commit({ 'x b/x': '1\n', 'q"uo te': '2\n', 'tab\tname': '3', 'new\nline': '4\r\n', 'b/a b/b ': '\n' });
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
  });
});

describe('what cannot be looked at is refused', () => {
  /** A directory that alone is on PATH, with git and a shell in it and with `program` as gitleaks. */
  async function useGitleaks(program: string | undefined): Promise<void> {
    const directory = path.join(site.root, '..', 'programs');
    mkdirSync(directory);
    for (const name of ['git', 'sh', 'cat', 'sed']) {
      symlinkSync(execaSync('sh', ['-c', `command -v ${name}`]).stdout, path.join(directory, name));
    }
    if (program !== undefined) writeFileSync(path.join(directory, 'gitleaks'), program, { mode: 0o755 });
    process.env['PATH'] = directory;
    await site.configure();
    process.env['PATH'] = PATH;
  }

  it('when gitleaks is missing', async () => {
    await useGitleaks(undefined);
    const head = await clone.commit({ 'a.txt': 'a\n' });
    const { code, output } = await clone.git('push', 'origin', 'main');
    expect(code).toBe(1);
    expect(output).toContain('git-gate: the gate failed: gitleaks cannot be run (ENOENT)');
    await expectNowhere('refs/heads/main', head);
  });

  it('when gitleaks fails', async () => {
    await useGitleaks('#!/bin/sh\nexit 1\n');
    const head = await clone.commit({ 'a.txt': 'a\n' });
    const { output } = await clone.git('push', 'origin', 'main');
    expect(output).toContain('git-gate: the gate failed: gitleaks ended with exit code 1');
    await expectNowhere('refs/heads/main', head);
  });

  it('when gitleaks gives up in the middle and says that all is well', async () => {
    await useGitleaks(
      '#!/bin/sh\ncat >/dev/null\necho "8:00AM INF scanned ~1 bytes (1 bytes) in 1ms" >&2\necho "[]"\n',
    );
    const head = await clone.commit({ 'a.txt': 'a\n' });
    const { output } = await clone.git('push', 'origin', 'main');
    expect(output).toContain('git-gate: the gate failed: gitleaks did not read all of it');
    await expectNowhere('refs/heads/main', head);
  });

  it('when a text has no place to part it', async () => {
    writeFileSync(path.join(clone.directory, '.git', 'text'), `work\n\n${'x'.repeat(30_000)}\n`);
    await clone.must('commit', '--quiet', '--allow-empty', '--file', '.git/text');
    const head = await clone.must('rev-parse', 'HEAD');
    const { output } = await clone.git('push', 'origin', 'main');
    expect(output).toContain(`a paragraph in the text of commit ${short(head)} is too long`);
    await expectNowhere('refs/heads/main', head);
  });

  it('when a tag is of something else than a commit', async () => {
    writeFileSync(path.join(clone.directory, 'blob'), `${AWS_KEY}\n`);
    const blob = await clone.must('hash-object', '-w', 'blob');
    await clone.must('tag', 'light', blob);
    await clone.must('tag', '--annotate', '--message', 'blob', 'heavy', blob);
    for (const tag of ['light', 'heavy']) {
      const { code, output } = await clone.git('push', 'origin', tag);
      expect(code).toBe(1);
      expect(output).toContain('git-gate: only commits, and tags of commits, can be pushed');
    }
    expect(Object.keys(site.upstream.refs())).toEqual(['refs/heads/main']);
  });
});

describe.skipIf(gitleaks === undefined)('the rules of the repository', () => {
  it('let a branch lose commits only when that is allowed', async () => {
    const before = await clone.commit({ 'a.txt': 'a\n' });
    await clone.must('push', '--quiet', 'origin', 'main');
    await clone.must('commit', '--quiet', '--amend', '--message', 'amended');
    const after = await clone.must('rev-parse', 'HEAD');
    const { code, output } = await clone.git('push', '--force', 'origin', 'main');
    expect(code).toBe(1);
    expect(output).toContain('git-gate: refs/heads/main may not lose commits: fetch, rebase and push again');
    await expectEverywhere('refs/heads/main', before);
    await site.configure({ allowForce: true });
    expect(await clone.git('push', '--force', 'origin', 'main')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/main', after);
  });

  it('let a tag move only when that is allowed', async () => {
    await clone.must('tag', 'v1');
    await clone.must('push', '--quiet', 'origin', 'v1');
    const head = await clone.commit({ 'a.txt': 'a\n' });
    await clone.must('tag', '--force', 'v1');
    const { output } = await clone.git('push', '--force', 'origin', 'v1');
    expect(output).toContain('git-gate: refs/tags/v1 exists: a tag may not be moved');
    await expectNowhere('refs/tags/v1', head);
    await site.configure({ allowForce: true });
    expect(await clone.git('push', '--force', 'origin', 'v1')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/tags/v1', head);
  });

  it('let a branch end only when that is allowed, and then even the first one', async () => {
    site.upstream.git('config', 'receive.denyDeleteCurrent', 'ignore');
    const { output } = await clone.git('push', 'origin', '--delete', 'main');
    expect(output).toContain('git-gate: refs/heads/main may not be deleted');
    expect(Object.keys(await site.mirror())).toEqual(['refs/heads/main']);
    await site.configure({ allowDelete: true });
    expect(await clone.git('push', 'origin', '--delete', 'main')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/main', undefined);
  });

  it('let just some branches be pushed', async () => {
    await site.configure({ branches: ['agent/*'] });
    const head = await clone.commit({ 'a.txt': 'a\n' });
    const { output } = await clone.git('push', 'origin', 'main', 'main:agent/work');
    expect(output).toContain('git-gate: refs/heads/main is not among the branches that may be pushed: agent/*');
    await expectNowhere('refs/heads/main', head);
    await expectNowhere('refs/heads/agent/work', head);
    expect(await clone.git('push', 'origin', 'main:agent/work')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/agent/work', head);
  });

  it('let nothing be pushed that is neither a branch nor a tag', async () => {
    await clone.must('notes', 'add', '--message', 'note');
    for (const ref of ['refs/notes/commits', 'HEAD:refs/pull/1/head', 'HEAD:refs/replace/x']) {
      const { code, output } = await clone.git('push', 'origin', ref);
      expect(code).toBe(1);
      expect(output).toContain('is neither a branch nor a tag');
    }
    expect(Object.keys(site.upstream.refs())).toEqual(['refs/heads/main']);
  });

  it('show a name of a branch without its tricks', async () => {
    await site.configure({ branches: ['none'] });
    const { output } = await clone.git('push', 'origin', 'main:refs/heads/\u202eé');
    expect(output).toContain('git-gate: refs/heads/\\u{202e}\\u{e9} is not a name');
    await expectLogged({ event: 'refused', refs: ['create refs/heads/\\u{202e}\\u{e9}'] });
  });
});

describe.skipIf(gitleaks === undefined)('what upstream makes of a push', () => {
  it('is told to the agent when it refuses, and neither side moves', async () => {
    site.upstream.refuse('no pushes on Fridays');
    const head = await clone.commit({ 'a.txt': 'a\n' });
    const { code, output } = await clone.git('push', 'origin', 'main');
    expect(code).toBe(1);
    expect(output).toContain('git-gate: upstream: remote: no pushes on Fridays');
    expect(output).toContain('git-gate: upstream: ! [remote rejected] ');
    await expectNowhere('refs/heads/main', head);
    await expectLogged({ event: 'refused', status: expect.stringContaining('Fridays') });
    site.upstream.refuse(undefined);
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/main', head);
  });

  it('counts for all branches of the push: one refused, none moved', async () => {
    site.upstream.refuse('frozen', 'refs/heads/frozen');
    const head = await clone.commit({ 'a.txt': 'a\n' });
    const { output } = await clone.git('push', 'origin', 'main', 'main:frozen');
    expect(output).toContain('git-gate: upstream: remote: frozen');
    await expectNowhere('refs/heads/main', head);
    await expectNowhere('refs/heads/frozen', head);
  });

  it('is a refusal with a hint when it has moved meanwhile, until the agent has rebased', async () => {
    const theirs = site.upstream.commit('side', { 'theirs.txt': 'theirs\n' });
    site.upstream.git('update-ref', '-d', 'refs/heads/side');
    const move = `env -i PATH="$PATH" git --git-dir ${site.upstream.directory} update-ref refs/heads/main ${theirs}`;
    site.aroundHook({ before: move });
    const head = await clone.commit({ 'a.txt': 'a\n' });
    const { output } = await clone.git('push', 'origin', 'main');
    expect(output).toContain('git-gate: the upstream has moved meanwhile: fetch, rebase and push again');
    await expectNowhere('refs/heads/main', head);
    site.aroundHook({});
    await clone.must('pull', '--quiet', '--rebase');
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/main', await clone.must('rev-parse', 'HEAD'));
  });

  it('is not known when it goes away in the middle: the agent hears so, and the mirror stays', async () => {
    const head = await clone.commit({ 'a.txt': 'a\n' });
    const { arrived, release } = site.upstream.hold('git-receive-pack');
    const pushing = clone.git('push', 'origin', 'main');
    await arrived;
    // The first to come is the gate's question what there is to push to.
    await site.upstream.down();
    release();
    const { code, output } = await pushing;
    expect(code).toBe(1);
    expect(output).toMatch(/git-gate: the upstream cannot be (used|reached): fatal: unable to access/);
    await expectNowhere('refs/heads/main', head);
  });

  it('reaches the agent when it says something of a push that it takes', async () => {
    writeFileSync(path.join(site.upstream.directory, 'hooks', 'post-receive'), '#!/bin/sh\necho "review at é"\n', {
      mode: 0o755,
    });
    await clone.commit({ 'a.txt': 'a\n' });
    const { output } = await clone.git('push', 'origin', 'main');
    expect(output).toMatch(/^remote: git-gate: upstream: remote: review at é *$/m);
  });

  it('is found again when the gate dies between its push and its own ref', async () => {
    const before = await clone.must('rev-parse', 'HEAD');
    const head = await clone.commit({ 'a.txt': 'a\n' });
    site.aroundHook({ after: 'kill -9 $PPID' });
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 1 });
    expect(site.upstream.refs()['refs/heads/main']).toBe(head);
    expect((await site.mirror())['refs/heads/main']).toBe(before);
    site.aroundHook({});
    const again = await clone.git('push', 'origin', 'main');
    expect(again).toMatchObject({ code: 0, output: expect.stringContaining('Everything up-to-date') });
    await expectEverywhere('refs/heads/main', head);
  });

  it('is the same for a push that upstream has already, seen only by the hook', async () => {
    const head = await clone.commit({ 'a.txt': 'a\n' });
    // Upstream gets the very commit between the gate's look at it and the hook's push.
    const direct = `env -i PATH="$PATH" git --git-dir ${clone.directory}/.git push --quiet ${site.upstream.directory} ${head}:refs/heads/main`;
    site.aroundHook({ before: direct });
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
    await expectEverywhere('refs/heads/main', head);
  });
});
