/** Shows watch events as they come: a live tree on a terminal, plain lines elsewhere, nothing with --json or --quiet. */
import type { StatusDocument } from '../../core/status.ts';
import type { Output } from '../output.ts';
import { SLOW_WORKER } from '../say-if-slow.ts';
import type { WatchEvent } from '../watch.ts';
import { plainLines } from './plain.ts';
import { renderTree } from './tree.ts';

export interface Progress {
  show(event: WatchEvent): void;
  /** Leaves the last state on the screen; further events are not shown. */
  done(): void;
}

const SILENT = {
  temporal: 'the Temporal server does not answer; waiting for it (bottle doctor says more)',
  worker: SLOW_WORKER,
} as const;
const BACK = { temporal: 'the Temporal server is back', worker: "the host's worker is back" } as const;

/** @param joining the launch was under way before this command */
export async function progressFor(output: Output, joining: boolean): Promise<Progress> {
  if (output.flags.json || output.flags.quiet) return { show: () => undefined, done: () => undefined };
  const { stderr } = output;
  return stderr.isTTY === true && process.env['TERM'] !== 'dumb'
    ? liveTree(output)
    : plainProgress(output, { joining });
}

/** @param options `prefix`: put before each line, to tell several bottles apart */
export function plainProgress(
  output: Output,
  { prefix = '', joining = false }: { prefix?: string; joining?: boolean },
): Progress {
  const lines = plainLines(joining);
  return {
    show: (event) => {
      if (event.kind === 'status') for (const line of lines(event.status)) output.note(prefix + line);
      else output.note(prefix + sentence(event));
    },
    done: () => undefined,
  };
}

function sentence(event: Exclude<WatchEvent, { kind: 'status' }>): string {
  return event.kind === 'silent' ? SILENT[event.who] : BACK[event.who];
}

async function liveTree(output: Output): Promise<Progress> {
  const [{ createLogUpdate }, { default: spinners }] = await Promise.all([
    import('log-update'),
    import('cli-spinners'),
  ]);
  const { frames, interval } = spinners.dots;
  const screen = createLogUpdate(output.stderr);
  const since = new Map<string, number>();
  const troubles = new Map<string, string>();
  let status: StatusDocument | undefined;
  let frame = 0;

  const draw = (): void => {
    if (status === undefined && troubles.size === 0) return;
    const tree =
      status === undefined
        ? []
        : [
            renderTree(status, {
              now: Date.now(),
              width: output.stderr.columns || 80,
              colours: output.errColours,
              spinner: frames[frame] ?? '◌',
              runningSince: (step) => since.get(step),
            }),
          ];
    screen([...tree, ...[...troubles.values()].map((text) => output.errColours.yellow(text))].join('\n'));
  };
  const timer = setInterval(() => {
    frame = (frame + 1) % frames.length;
    draw();
  }, interval);

  return {
    show: (event) => {
      if (event.kind === 'silent') troubles.set(event.who, sentence(event));
      else if (event.kind === 'recovered') troubles.delete(event.who);
      else {
        rememberStarts(since, status, event.status);
        status = event.status;
      }
      draw();
    },
    done: () => {
      clearInterval(timer);
      troubles.clear();
      draw();
      screen.done();
    },
  };
}

/** A retried step's `startedAt` is of its first start; here it counts from when it was seen to run again. */
function rememberStarts(since: Map<string, number>, before: StatusDocument | undefined, now: StatusDocument): void {
  for (const { id, state } of now.steps) {
    const earlier = before?.steps.find((step) => step.id === id)?.state;
    if (state !== 'running') since.delete(id);
    else if (earlier !== undefined && earlier !== 'running' && earlier !== 'pending') since.set(id, Date.now());
  }
}
