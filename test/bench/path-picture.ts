/** A launch's path as a picture: a bar for each step, and the longest chain drawn through them. */
import { type LaunchPath, type Link, type Span, sums, WORKFLOW } from './launch-path.ts';

const WIDTH = 960;
const LEFT = 170;
const RIGHT = 70;
const ROW = 22;
const TOP = 64;
const FONT = 'font-family="system-ui, sans-serif" font-size="12"';

/** @returns an SVG document that is readable on light and on dark ground */
export function pathPicture({ spans, chain, readyMs }: LaunchPath): string {
  const shown = spans.filter(({ asked, name }) => asked < readyMs && name !== 'watch');
  const steps = [...new Set(shown.filter(({ name }) => name !== WORKFLOW).map(({ name }) => name))];
  const rows = [WORKFLOW, ...steps];
  const x = (ms: number): number => round(LEFT + (ms / readyMs) * (WIDTH - LEFT - RIGHT));
  const y = (name: string): number => TOP + rows.indexOf(name) * ROW;
  const height = TOP + rows.length * ROW + 30;
  const isOnChain = ({ name, began }: Span): boolean => chain.some((link) => link.name === name && link.from === began);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ${FONT}>`,
    "<title>A launch's steps over time, with the longest chain through them</title>",
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="22" font-size="15" fill="#111">A launch, from the start call to ready: ${Math.round(readyMs)} ms</text>`,
    `<text x="12" y="42" fill="#555">${chainText(chain)}</text>`,
    ...ticks(readyMs).map(
      (ms) =>
        `<path d="M${x(ms)} ${TOP - 6}V${height - 26}" stroke="#ddd"/><text x="${x(ms)}" y="${height - 10}" text-anchor="middle" fill="#555">${ms} ms</text>`,
    ),
    ...rows.map((name) => `<text x="12" y="${y(name) + 13}" fill="#111">${name}</text>`),
    ...shown.map((span) => bar(span, isOnChain(span), x, y)),
    `<path d="${chainLine(chain, x, y)}" fill="none" stroke="#111" stroke-dasharray="2 2"/>`,
    '</svg>',
    '',
  ].join('\n');
}

const round = (value: number): number => Math.round(value * 10) / 10;

function bar({ name, began, ended }: Span, onChain: boolean, x: (ms: number) => number, y: (name: string) => number) {
  const width = Math.max(1, round(x(ended) - x(began)));
  const colour = name === WORKFLOW ? '#8250df' : onChain ? '#cf222e' : '#8c959f';
  const said =
    name === WORKFLOW
      ? ''
      : `<text x="${x(ended) + 4}" y="${y(name) + 13}" fill="#555">${Math.round(ended - began)}</text>`;
  return `<rect x="${x(began)}" y="${y(name) + 2}" width="${width}" height="14" rx="2" fill="${colour}"/>${said}`;
}

/** From each bar of the chain to the next. */
function chainLine(chain: readonly Link[], x: (ms: number) => number, y: (name: string) => number): string {
  const bars = chain.filter(({ kind }) => kind === 'work' || kind === 'workflow');
  return bars
    .slice(1)
    .map(({ name, from }, at) => {
      const { name: before, until } = bars[at] as Link;
      return `M${x(until)} ${y(before) + 9}L${x(from)} ${y(name) + 9}`;
    })
    .join('');
}

/** Where the time of the chain goes, in a line. */
export function chainText(chain: readonly Link[]): string {
  const of = sums(chain);
  const turns = chain.filter(({ kind }) => kind === 'workflow').length;
  const [work, own, ways] = [of.work, of.workflow, of['to the worker'] + of['to the workflow']].map(Math.round);
  return `the longest chain: ${work} ms in steps, ${own} ms in ${turns} turns of the workflow, ${ways} ms on the way between them`;
}

function ticks(until: number): number[] {
  const apart = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((ms) => until / ms <= 12) ?? 10_000;
  return Array.from({ length: Math.floor(until / apart) + 1 }, (_, at) => at * apart);
}
