/** A secret that a launch reads is in nothing that it leaves behind: no history, status or log, whatever goes wrong. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventsOf } from '../support/events.ts';
import {
  type Installation,
  installation,
  isHeld,
  isReady,
  root,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';

let it: Installation;
let worker: WorkerProcess;

/** Looks like no credential, so that it is known only by having been read. */
const HUSH = `hush ${randomBytes(16).toString('hex').replace(/\d/g, 'x')}/"?`;
const FORMS = [
  HUSH,
  JSON.stringify(HUSH).slice(1, -1),
  ...['base64', 'base64url'].flatMap((encoding) =>
    // "me:" and no more, as three bytes are four characters.
    [HUSH, `me:${HUSH}`].map((text) =>
      Buffer.from(text)
        .toString(encoding as BufferEncoding)
        .slice(4, -4),
    ),
  ),
  HUSH.slice(5, -3),
];

const route = (host: string, secret: string): string =>
  `    - {host: ${host}, auth: {scheme: Bearer, token_ref: '${secret}'}}`;

beforeAll(async () => {
  it = await installation();
  it.env['HUSH'] = HUSH;
  it.env['NODE_OPTIONS'] = `--import ${pathToFileURL(`${root}/test/fixtures/tell-a-secret.ts`)}`;
  const printed = route('printed.test', 'command:["sh","-c","echo from a command: $HUSH"]');
  it.writeBottle('fine', `egress:\n  routes:\n${route('env.test', 'HUSH')}\n${printed}`);
  const failing = route('failing.test', 'command:["sh","-c","echo told: $HUSH >&2; exit 3"]');
  it.writeBottle('failing', `egress:\n  routes:\n${route('env.test', 'HUSH')}\n${failing}`);
  it.writeAgent('fine', 'bottle: fine');
  it.writeAgent('failing', 'bottle: failing');
  // From its sources: what tells the secret takes Temporal's SDK from the same place, where the build has one of its own.
  worker = await it.startWorker(undefined, 'src/worker.ts');
});
afterAll(() => it?.dispose());

/** Everything of a launch that Temporal keeps, payloads decoded. */
async function history(id: string): Promise<string> {
  const text = JSON.stringify(await eventsOf(it.client, id));
  return text.replace(/"data":"([^"]*)"/g, (_whole, data: string) => Buffer.from(data, 'base64').toString());
}

function expectNoneIn(text: string): void {
  expect(FORMS.filter((form) => text.includes(form))).toEqual([]);
}

test('a launch that needs it, from a variable and from a command, becomes ready', async () => {
  const id = uniqueId('secrets');
  await it.launch(id, { agent: 'fine' });
  await it.waitFor(id, isReady);
  const kept = await history(id);
  expect(kept).toContain('env:HUSH');
  expectNoneIn(kept);
  expectNoneIn(JSON.stringify(await it.status(id)));
  expectNoneIn(worker.log());
  expect(await it.down(id)).toEqual([]);
});

test('a launch that fails by a command which tells it is held, and says what it told but that', async () => {
  const id = uniqueId('secrets');
  await it.launch(id, { agent: 'failing' });
  const { steps } = await it.waitFor(id, isHeld);
  const error = steps.find(({ state }) => state === 'held')?.error;
  expect(error).toMatchObject({
    code: 'SECRET_MISSING',
    message: expect.stringContaining('(exit code 3: told: [secret])'),
  });
  const kept = await history(id);
  expect(kept).toContain('told: [secret]');
  expectNoneIn(kept);
  expectNoneIn(JSON.stringify(await it.status(id)));
  expectNoneIn(worker.log());
  expect(await it.down(id)).toEqual([]);
});

test('and a worker that would tell it, in a line of its log or on its way out, does not', async () => {
  process.kill(worker.pid, 'SIGUSR2');
  const end = Date.now() + 120_000;
  while (!worker.log().includes('thrown') && Date.now() < end) await sleep(50);
  const log = worker.log();
  const line = log.split('\n').find((text) => text.includes('telling')) as string;
  expect(JSON.parse(line)).toMatchObject({
    msg: 'telling [secret]',
    error: { message: '[secret]', stack: expect.stringMatching(/^Error: \[secret\]\n {4}at /) },
    deep: [{ hush: '[secret]' }],
  });
  expect(log).toContain('Error: thrown [secret]\n    at ');
  expectNoneIn(log);
});
