/** Which colours a stream gets: none unless it is a terminal that wants them (https://no-color.org). */
import pc from 'picocolors';

export type Colours = ReturnType<typeof pc.createColors>;

export const PLAIN: Colours = pc.createColors(false);
export const COLOURED: Colours = pc.createColors(true);

/** @param env `NO_COLOR` (any value but an empty one) and `TERM=dumb` turn colours off */
export function coloursFor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): Colours {
  const wanted = stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return wanted ? COLOURED : PLAIN;
}
