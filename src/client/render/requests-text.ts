/** What agents ask, as text: who, what and why, and the very commands that answer it. */
import { askedRoute } from '../../core/launch-view.ts';
import type { RequestView } from '../../core/requests.ts';
import type { Colours } from './colours.ts';
import { clean, duration } from './text.ts';

/** @param now milliseconds since the epoch */
export function requestLines(bottle: string, request: RequestView, now: number, colours: Colours): string[] {
  const { id, state, askedAt } = request;
  const head = `${clean(bottle)}  ${clean(id)}  ${state}`;
  return [
    `${state === 'pending' ? colours.bold(head) : head}${colours.dim(`  asked ${duration(now - Date.parse(askedAt))} ago`)}`,
    ...askLines(request).map((line) => `  ${clean(line)}`),
    ...answerLines(request).map((line) => `  ${clean(line)}`),
    ...(state === 'pending' ? answers(bottle, request).map((command) => colours.dim(`  ${command}`)) : []),
  ];
}

function askLines({ ask }: RequestView): string[] {
  if (ask.kind === 'question') {
    return [`question: ${ask.question}`, ...(ask.options.length === 0 ? [] : [`options: ${ask.options.join(' / ')}`])];
  }
  const whole = ask.methods.length === 0 && ask.pathPrefix === null;
  return [`wants ${whole ? `the host ${ask.host}, whole` : `the route ${askedRoute(ask)}`}`, `because: ${ask.reason}`];
}

function answerLines({ state, note, expiresAt, private: mayBePrivate }: RequestView): string[] {
  return [
    ...(mayBePrivate ? ['may be at a private address'] : []),
    ...(note === null ? [] : [`note: ${note}`]),
    ...(expiresAt === null ? [] : [`${state === 'expired' ? 'ended' : 'ends'} ${expiresAt}`]),
  ];
}

function answers(bottle: string, { id, ask }: RequestView): string[] {
  const of = (verb: string, rest: string): string => `bottle ${verb} ${clean(bottle)} ${clean(id)}${rest}`;
  return ask.kind === 'question'
    ? [of('approve', ' --note "your answer"'), of('deny', '')]
    : [of('approve', ' [--for 1h]'), of('deny', ' [--note "why"]')];
}
