/** Where an agent that brings its own credential has its model: what has to be reached before it can even log in. */
import type { BundlePlans } from '../bundle-plans.ts';
import { PROVIDERS } from './providers.ts';

/**
 * The model's host of an agent that dials it by itself, through the scanner.
 * @returns undefined where egress has a route, and tries that
 */
export function loginHost({ pipelock, egress }: Pick<BundlePlans, 'pipelock' | 'egress'>): string | undefined {
  if (egress !== null && egress.routes.length > 0) return undefined;
  const models = Object.values(PROVIDERS).flatMap(({ hosts }) => hosts[0] ?? []);
  return models.find((host) => pipelock.allow.includes(host));
}
