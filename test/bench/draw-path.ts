/** `npm run bench -- --path`: launches some bottles, tells the longest chain of the median one, and draws it into docs/. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { startLaunch } from '../../src/client/launch.ts';
import type { Session } from '../../src/client/session.ts';
import { eventsOf } from '../support/events.ts';
import { type Installation, installation, isReady, root, uniqueId } from '../support/installation.ts';
import { type LaunchPath, launchPath } from './launch-path.ts';
import { chainText, pathPicture } from './path-picture.ts';

const AGENT = 'demo';
const PICTURE = 'docs/launch-path.svg';

/** @param runs one more warms everything up */
export async function drawPath(runs: number, report: (line: string) => void): Promise<void> {
  const place = await installation();
  try {
    place.writeBottle('closed', 'allow: [example.com]');
    place.writeAgent(AGENT, 'bottle: closed\nskills: [greet]', 'Be kind.');
    place.writeSkill('greet');
    await place.startWorker();
    await pathOf(place);
    const paths: LaunchPath[] = [];
    for (let n = 1; n <= runs; n++) {
      paths.push(await pathOf(place));
      report(`${n}/${runs}  ${Math.round(paths.at(-1)?.readyMs ?? 0)} ms`);
    }
    const median = paths.sort((a, b) => a.readyMs - b.readyMs)[paths.length >> 1] as LaunchPath;
    writeFileSync(path.join(root, PICTURE), pathPicture(median));
    for (const { name, kind, from, until } of median.chain)
      console.log(
        `${ms(from)}  ${ms(until - from)}  ${name}${kind === 'work' || kind === 'workflow' ? '' : `: ${kind}`}`,
      );
    console.log(`${chainText(median.chain)}\n${PICTURE}`);
  } finally {
    await place.dispose();
  }
}

const ms = (value: number): string => `${value.toFixed(1)} ms`.padStart(10);

async function pathOf(place: Installation): Promise<LaunchPath> {
  const id = uniqueId('path');
  // As `bottle up` starts it.
  await startLaunch({ client: place.client } as Session, { agent: AGENT, host: place.settings.host, name: id });
  await place.waitFor(id, isReady);
  const events = await eventsOf(place.client, id);
  await place.down(id);
  return launchPath(events);
}
