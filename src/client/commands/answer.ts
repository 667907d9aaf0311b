/** `bottle approve` and `bottle deny`: answer a request; returns when the answer counts in the bottle. */
import { parseDuration } from '../../core/duration.ts';
import { BottleError } from '../../core/errors.ts';
import { decideUpdate } from '../../workflows/messages.ts';
import type { Context } from '../context.ts';
import { withEngine } from '../engine.ts';
import { stoppable } from '../interrupt.ts';
import { servedLaunch } from '../open-launch.ts';
import { onlyTroubles } from '../render/progress.ts';
import { requestLines } from '../render/requests-text.ts';
import { untilSettled } from '../settle.ts';
import { sendUpdate } from '../update.ts';

export interface AnswerOptions {
  note?: string;
  for?: string;
  private?: boolean;
}

export async function run(
  context: Context,
  decision: 'approve' | 'deny',
  id: string,
  request: string,
  options: AnswerOptions,
): Promise<number> {
  const { output } = context;
  if (options.for !== undefined && parseDuration(options.for) === undefined) {
    throw new BottleError(
      'USAGE',
      `--for is "${options.for.slice(0, 40)}", expected a time such as 30s, 10m, 2h or 1d`,
    );
  }
  return withEngine(context, async (session) => {
    const launch = await servedLaunch(session, output, id);
    await sendUpdate(session, output, launch, decideUpdate, [{ request, decision, ...options }]);
    const comeBack = `stopped waiting; the answer is given, and takes effect as soon as ${id} can take it`;
    return stoppable(output, comeBack, async (signal) => {
      const { kind, status } = await untilSettled(session, launch, 'ready', signal, onlyTroubles(output).show);
      const answered = status.requests.find((each) => each.id === request);
      output.result({ bottle: id, ...answered }, () =>
        answered === undefined ? '' : requestLines(id, answered, Date.now(), output.outColours).join('\n'),
      );
      if (kind === 'ready') return 0;
      output.say(`${id} is ${status.phase}: the answer takes effect when it is ready; see: bottle status ${id}`);
      return kind === 'held' ? 3 : 1;
    });
  });
}
