import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { byMessage } from '../../../src/bundle/feed.ts';

const FIXTURE = fileURLToPath(new URL('../../fixtures/bundle/framed-daemon.ts', import.meta.url));

let child: ChildProcess;
/** All that came over the channel, in order, with what init makes of it. */
let said: unknown[];
let wake: () => void;
beforeEach(async () => {
  said = [];
  wake = () => {};
  child = spawn(process.execPath, [FIXTURE], { stdio: ['pipe', 'ignore', 'pipe', 'ipc'] });
  child.on('message', (message) => tell(message));
  await until(() => said.includes('here'));
  said = [];
});
afterEach(async () => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
});

function tell(what: unknown): void {
  said.push(what);
  wake();
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

const send = (config: { id: number; waits?: boolean; fails?: boolean }) =>
  byMessage.first(child, config, () => tell(`taken ${config.id}`));
const goOn = () => child.stdin?.write('go\n');
const ends = async () => {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode ?? child.signalCode;
};

test('each configuration is answered once it is in force, one after the other', async () => {
  send({ id: 1, waits: true });
  send({ id: 2 });
  send({ id: 3 });
  await until(() => said.includes('begin 1'));
  goOn();
  await until(() => said.includes('taken 3'));
  const one = (id: number) => [`begin ${id}`, `end ${id}`, 'ready', `taken ${id}`];
  expect(said).toEqual([...one(1), ...one(2), ...one(3)]);
});

test('SIGHUP puts the last one into force again, which answers nothing that was sent meanwhile', async () => {
  send({ id: 1, waits: true });
  await until(() => said.includes('begin 1'));
  goOn();
  await until(() => said.includes('taken 1'));
  said = [];
  child.kill('SIGHUP');
  await until(() => said.includes('begin 1'));
  send({ id: 2 });
  goOn();
  await until(() => said.includes('taken 2'));
  expect(said).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2', 'ready', 'taken 2']);
});

test('SIGHUP before there is a configuration does not end it', async () => {
  child.kill('SIGHUP');
  send({ id: 1 });
  await until(() => said.includes('taken 1'));
  // A late signal may put the first one into force again.
  expect(said.slice(0, 4)).toEqual(['begin 1', 'end 1', 'ready', 'taken 1']);
  expect(child.signalCode).toBeNull();
});

test('one that cannot be taken ends it with one line that says why, and is not answered', async () => {
  const complaint = text(child.stderr as NodeJS.ReadableStream);
  send({ id: 1, fails: true });
  send({ id: 2 });
  expect(await ends()).toBe(1);
  expect(await complaint).toBe('error: 1 does not work\n');
  expect(said).toEqual(['begin 1']);
});

test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it with 0, also in the midst of a configuration', async (signal) => {
  send({ id: 1, waits: true });
  await until(() => said.includes('begin 1'));
  child.kill(signal);
  expect(await ends()).toBe(0);
});

test('it ends with init', async () => {
  child.disconnect();
  expect(await ends()).toBe(0);
});
