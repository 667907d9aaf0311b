import type { LostBottle } from '../../host/lost.ts';
import { clean } from './text.ts';

/** One lost bottle that is left as it is: whose it is, and what brings it back. */
export const lostText = ({ id, server, hint }: LostBottle): string =>
  clean(`kept ${id}: it belongs to ${server}${hint === undefined ? '' : ` (${hint})`}`);

/** What can be done about lost bottles. */
export const LOST_HINT =
  'bottle adopt takes over those whose database is gone, bottle adopt ID any; bottle gc --lost [ID] removes them';
