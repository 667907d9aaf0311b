/** From "the new worker polls" to "the dead one's attempt runs again". */
import { installation, uniqueId } from '../support/installation.ts';

/** @returns milliseconds, one for each kill */
export async function measureTakeover(kills: number, report: (line: string) => void): Promise<number[]> {
  const place = await installation();
  const times: number[] = [];
  try {
    place.writeAgent('demo', '');
    for (let i = 0; i < kills; i++) {
      const id = uniqueId('takeover');
      const first = await place.startWorker({ at: 'machine.create', when: 'after' });
      const handle = await place.launch(id, { agent: 'demo' });
      await first.paused();
      await first.kill();
      const second = await place.startWorker();
      await place.waitFor(id, ({ phase }) => phase === 'ready');
      const polling = /"time":(\d+)[^\n]*"msg":"polling"/.exec(second.log())?.[1];
      const started = await secondAttempt(place, id);
      times.push(started - Number(polling));
      report(`takeover ${i + 1}/${kills}  ${times.at(-1)} ms`);
      await handle.executeUpdate('stop');
      await handle.result();
      await second.stop();
    }
    return times;
  } finally {
    await place.dispose();
  }
}

/** When the server started the last attempt of `machine.create`, in milliseconds since the epoch. */
async function secondAttempt(place: Awaited<ReturnType<typeof installation>>, id: string): Promise<number> {
  const { events } = await place.client.workflow.getHandle(id).fetchHistory();
  const scheduled = events?.find(
    (event) => event.activityTaskScheduledEventAttributes?.activityId === 'machine.create',
  );
  const started = events?.find(
    (event) => String(event.activityTaskStartedEventAttributes?.scheduledEventId) === String(scheduled?.eventId),
  );
  const { seconds, nanos } = started?.eventTime ?? {};
  return Number(seconds) * 1000 + Number(nanos) / 1e6;
}
