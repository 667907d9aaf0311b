/** `bottle setup`: gets what an installed bottle needs, once; says what it could not get and what follows from that. */
import process from 'node:process';
import { connectDocker, engine } from '../../host/docker.ts';
import { imageTag, USUAL_KINDS } from '../../host/image-tags.ts';
import { ensureImages, imageExists } from '../../host/images.ts';
import { SETUP_THINGS, type Thing } from '../../host/setup/things.ts';
import { removeUnusedCore, unusedCore } from '../../host/setup/unused-core.ts';
import type { Context } from '../context.ts';
import type { Output } from '../output.ts';
import { clean, duration } from '../render/text.ts';
import { viewOf } from '../report-error.ts';

/** How often it says that it is still at it. */
const SIGN_OF_LIFE_MS = 15_000;

interface Outcome {
  name: string;
  state: 'there' | 'installed' | 'missing';
  found: string | null;
  /** Only of what is missing. */
  why?: string;
  without?: string;
  hint?: string;
}

export async function run({ output }: Context): Promise<number> {
  const outcomes: Outcome[] = [{ name: 'Node', state: 'there', found: `${process.version}, ${process.execPath}` }];
  say(output, 'ok', `Node: ${outcomes[0]?.found}`);
  trimPackage(output);
  let ok = true;
  for (const thing of [dockerEngine, ...SETUP_THINGS, images]) {
    const outcome = await ensure(output, thing);
    outcomes.push(outcome);
    if (outcome.state === 'missing' && thing.required) ok = false;
  }
  output.result({ ok, things: outcomes }, () =>
    ok ? 'bottle is set up; next: bottle init, then bottle up assistant' : 'something is missing: see above',
  );
  return ok ? 0 : 1;
}

const dockerEngine: Thing = {
  name: 'Docker Engine',
  look: async () => (await engine('ask for its version', () => connectDocker().version())).Version,
  plan: '',
  provide: async () => undefined,
  without: 'no bottle can be launched, and no image built',
  required: true,
};

const images: Thing = {
  name: 'images',
  look: async () => {
    const docker = connectDocker();
    const tags = await Promise.all(USUAL_KINDS.map((kind) => imageTag(kind)));
    const there = await engine('look for images', () => Promise.all(tags.map((tag) => imageExists(docker, tag))));
    return there.every(Boolean) ? tags.map((tag) => tag.replace('bottleworks/', '')).join(', ') : undefined;
  },
  plan: 'what is missing of them, a minute or two, once',
  provide: async (report) => {
    await engine('build images', () => ensureImages(connectDocker(), { report }));
  },
  without: 'no bottle can be launched',
  required: true,
  hint: 'bottle image build',
};

async function ensure(output: Output, thing: Thing): Promise<Outcome> {
  const { name } = thing;
  const start = Date.now();
  let alive: NodeJS.Timeout | undefined;
  try {
    const before = await thing.look();
    if (before !== undefined) {
      say(output, 'ok', `${name}: ${before}`);
      return { name, state: 'there', found: before };
    }
    say(output, 'install', `${name}: ${thing.plan}`);
    alive = setInterval(() => say(output, '...', `${name}: ${duration(Date.now() - start)}`), SIGN_OF_LIFE_MS);
    await thing.provide((line) => say(output, '', line));
    const found = (await thing.look()) ?? null;
    say(output, 'ok', `${name}: ${found}   ${duration(Date.now() - start)}`);
    return { name, state: 'installed', found };
  } catch (error) {
    const { message, hint = thing.hint } = viewOf(error);
    say(output, 'missing', `${name}: ${message}`);
    say(output, '', `so ${thing.without}`);
    if (hint !== undefined) say(output, '', `hint: ${hint}`);
    return {
      name,
      state: 'missing',
      found: null,
      why: message,
      without: thing.without,
      ...(hint === undefined ? {} : { hint }),
    };
  } finally {
    clearInterval(alive);
  }
}

function trimPackage(output: Output): void {
  const unused = unusedCore();
  if (unused.length === 0) return;
  if (removeUnusedCore(unused)) say(output, 'ok', "package: other platforms' parts of Temporal's core are gone");
  else
    say(output, '', "package: other platforms' parts of Temporal's core stay (110 MB): they are not yours to remove");
}

const say = (output: Output, word: string, line: string): void => output.note(`${word.padEnd(8)}${clean(line)}`);
