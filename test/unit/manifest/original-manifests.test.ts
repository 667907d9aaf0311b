/**
 * Files as people of the original bot-bottle have them, one set a file of test/fixtures/manifests/original, named by the
 * day since when they were written like that: what each launch of them makes here, or every word with which it is
 * refused. After a change: UPDATE_GOLDEN=1, and read the difference.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { BottleError } from '../../../src/core/errors.ts';
import { problemText } from '../../../src/core/manifest/problems.ts';
import { agentFiles, inspectManifest, type ManifestRequest, strayFiles } from '../../../src/host/manifest/library.ts';
import { makePlan, type Planned } from '../../../src/host/planning.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { readTxtar, writeFiles } from '../../support/txtar.ts';

// The tags need a build, which these tests do without.
vi.mock('../../../src/host/images.ts', () => ({
  imageTags: async () => ({ 'guest-full': 'claude:1', 'codex-full': 'codex:1', bundle: 'bundle:1' }),
  imageScanner: async () => 'pipelock',
}));

const FOLDER = fileURLToPath(new URL('../../fixtures/manifests/original/', import.meta.url));
const CASES = readdirSync(FOLDER).sort();

/** Written by hand as they ought to be: what is made of them is not that yet. Those that are leave this list. */
const OWED: readonly string[] = [];

/** The person's home: BOTTLE_HOME is `.bot-bottle` in it, and `work` the folder that they stand in. */
let home: string;
let settings: Settings;
beforeEach(() => {
  home = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'bottle-original-')));
  mkdirSync(path.join(home, 'work'));
  vi.stubEnv('HOME', home);
  settings = readSettings({ BOTTLE_HOME: path.join(home, '.bot-bottle'), BOTTLE_HOST: 'h' });
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true, force: true });
});

/** What of a plan says what an agent can reach, as whom, and what it is. */
function told({ plan, prompt, manifest }: Planned): object {
  const { provider, driver, sources, dockerfile, images, bundle, git, env, privateEnv, skills, daemons } = plan;
  return {
    prompt,
    provider,
    driver,
    bottles: sources.bottles,
    image: dockerfile === null ? images.guest : { dockerfile: dockerfile.file },
    daemons,
    bundle,
    'git.user': git.user,
    env,
    privateEnv,
    skills,
    notes: manifest.notes.map(problemText),
  };
}

/** One launch, as lines: the plan that is made of it, or all that is said against it. */
async function launched(request: Omit<ManifestRequest, 'settings' | 'folder'>): Promise<string> {
  const folder = path.join(home, 'work');
  const { agent, bottles } = request;
  const launch = { agent, cwd: folder, ...(bottles === undefined ? {} : { bottles: [...bottles] }) };
  try {
    return JSON.stringify(told(await makePlan({ settings, launch, env: {} })), undefined, 2);
  } catch (error) {
    if (!BottleError.is(error)) throw error;
    const inspected = await inspectManifest({ settings, folder, ...request }).catch(() => ({ problems: [] }));
    const { code, message, hint } = error as BottleError;
    const problems = inspected.problems.length > 0 ? inspected.problems.map(problemText) : [message];
    return [`error[${code}]`, ...problems, ...(hint === undefined ? [] : [`hint: ${hint}`])].join('\n');
  }
}

/** `agent --bottle one --bottle other`. */
function requestOf(line: string): Omit<ManifestRequest, 'settings' | 'folder'> {
  const [agent = '', ...rest] = line.split(/ --bottle | /);
  return rest.length === 0 ? { agent } : { agent, bottles: rest };
}

async function said(files: ReadonlyMap<string, string>): Promise<string> {
  const folder = path.join(home, 'work');
  const lines = files.get('launch')?.trim().split('\n') ?? (await agentFiles(settings, folder)).map(({ name }) => name);
  const launches = [];
  for (const line of lines) launches.push(`$ bottle up ${line}\n${await launched(requestOf(line))}\n`);
  const stray = (await strayFiles(settings, folder)).map((problem) => `note: ${problemText(problem)}\n`);
  return [...launches, ...stray].join('\n').replaceAll(home, '$HOME');
}

test('there are at least 16 sets of them', () => {
  expect(CASES.length).toBeGreaterThanOrEqual(16);
});

// Of the original's own lists (BOTTLE_KEYS, those of a route and a repository), and what older versions had.
const KEYS =
  'env extends agent_provider git-gate egress supervise template dockerfile auth_token forward_host_credentials settings ' +
  'user repos url host_key key identity provisioned_key deploy_key host auth scheme token_ref matches paths methods ' +
  'headers dlp outbound_detectors inbound_detectors outbound_on_match role log path_allowlist pipelock tls_passthrough ' +
  'ssrf_ip_allowlist tokens cred_proxy egress_proxy git bottle skills name description model color memory prompt';

test.each(KEYS.split(' '))('one of them has the key %s', (key) => {
  const texts = CASES.map((name) =>
    readFileSync(path.join(FOLDER, name), 'utf8').replace(/^-- expected --[\s\S]*/m, ''),
  );
  expect(texts.some((text) => new RegExp(`^[^#]*(^|[ {-])${key}:`, 'm').test(text))).toBe(true);
});

describe('a set of files of the original', () => {
  for (const name of CASES) (OWED.includes(name) ? test.fails : test)(name, () => check(name));

  async function check(name: string): Promise<void> {
    const file = path.join(FOLDER, name);
    const text = readFileSync(file, 'utf8');
    const files = readTxtar(text);
    const expected = files.get('expected');
    files.delete('expected');
    writeFiles(
      home,
      [...files].filter(([each]) => each !== 'launch'),
    );
    const actual = await said(files);
    if (process.env['UPDATE_GOLDEN'] === '1' && !OWED.includes(name)) {
      writeFileSync(file, `${text.replace(/^-- expected --\n[\s\S]*/m, '')}-- expected --\n${actual}`);
      return;
    }
    expect(actual).toBe(expected);
    expect(actual).not.toMatch(/\n\s+at |undefined|\[object|Invalid input/);
  }
});
