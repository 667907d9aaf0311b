/** The variables of a host's environment that a plan takes something from. Pure. */
import { secretRefsOf } from './bundle-plans.ts';
import type { Plan } from './plan.ts';
import { parseSecretRef } from './secret-ref.ts';

/** Names, each once: of `env:` references, and of the machine's own variables that come from the host. */
export function planVariables({ bundle, privateEnv }: Pick<Plan, 'bundle' | 'privateEnv'>): string[] {
  const secrets = secretRefsOf(bundle).flatMap((reference) => {
    const parsed = parseSecretRef(reference);
    return parsed?.kind === 'env' ? [parsed.name] : [];
  });
  const own = Object.values(privateEnv).flatMap((source) => (source.from === 'host' ? [source.variable] : []));
  return [...new Set([...secrets, ...own])].sort();
}
