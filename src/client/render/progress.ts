/** Shows watch events as they come: a live tree on a terminal, plain lines elsewhere, with --json only what keeps it waiting. */
import type { StatusDocument } from '../../core/status.ts';
import type { Who } from '../keeper.ts';
import type { Output } from '../output.ts';
import type { WatchEvent } from '../watch.ts';
import { plainLines } from './plain.ts';
import { renderTree } from './tree.ts';
import { Troubles } from './troubles.ts';

export interface Progress {
  show(event: WatchEvent): void;
  /** Leaves the last state on the screen; further events are not shown. */
  done(): void;
}

/** @param joining the launch was under way before this command */
export async function progressFor(output: Output, joining: boolean): Promise<Progress> {
  if (output.flags.json || output.flags.quiet) return onlyTroubles(output);
  const { stderr } = output;
  // One of 0 columns or rows has no place for a tree: a pseudo-terminal whose size nobody has set.
  const fits = stderr.columns !== 0 && stderr.rows !== 0;
  return stderr.isTTY === true && fits && process.env['TERM'] !== 'dumb'
    ? liveTree(output)
    : plainProgress(output, { joining });
}

/** For whoever reads the result alone: on stderr, what keeps it waiting. */
export function onlyTroubles(output: Output, troubles = new Troubles()): Progress {
  return {
    show: (event) => {
      const line = event.kind === 'status' ? undefined : troubles.tell(event);
      if (line !== undefined) output.note(line);
    },
    done: () => undefined,
  };
}

/** @param options `prefix`: put before each line, to tell several bottles apart; `troubles`: what they have in common */
export function plainProgress(
  output: Output,
  {
    prefix = '',
    joining = false,
    troubles = new Troubles(),
  }: { prefix?: string; joining?: boolean; troubles?: Troubles },
): Progress {
  const lines = plainLines(joining);
  const common = onlyTroubles(output, troubles);
  return {
    show: (event) => {
      if (event.kind === 'status') for (const line of lines(event.status)) output.note(prefix + line);
      else common.show(event);
    },
    done: () => undefined,
  };
}

/** Of one among several that are waited for: plain lines with its id before each. */
export const severalProgress = (output: Output, id: string, troubles: Troubles): Progress =>
  output.flags.json || output.flags.quiet
    ? onlyTroubles(output, troubles)
    : plainProgress(output, { prefix: `${id}  `, joining: true, troubles });

async function liveTree(output: Output): Promise<Progress> {
  const [{ createLogUpdate }, { default: spinners }] = await Promise.all([
    import('log-update'),
    import('cli-spinners'),
  ]);
  const { frames, interval } = spinners.dots;
  const screen = createLogUpdate(output.stderr);
  const since = new Map<string, number>();
  const troubles = new Map<Who, string>();
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
      if (event.kind === 'silent') troubles.set(event.who, event.text);
      else if (event.kind === 'recovered') {
        troubles.delete(event.who);
        // What was done about it stays on the screen, above the tree.
        screen.clear();
        output.note(output.errColours.dim(event.text));
      } else {
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
