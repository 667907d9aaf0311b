/** What a bundle's init is to be given, with every secret read on the host at this moment. */
import { randomUUID } from 'node:crypto';
import type { Delivery } from '../core/bundle-config.ts';
import { caFilesOf, secretRefsOf } from '../core/bundle-plans.ts';
import { renderBundle } from '../core/render-bundle.ts';
import type { BundleInput } from '../core/step-io.ts';
import { ensureBottleCa } from './bottle-ca.ts';
import { rememberHanded } from './handed-secrets.ts';
import { readHostFiles, resolveSecrets } from './secrets.ts';
import type { Settings } from './settings.ts';

/** @throws BottleError `SECRET_MISSING`, and what ensureBottleCa throws */
export async function makeDelivery(
  settings: Settings,
  { bottle, plans, scanner, network, requests }: BundleInput,
  signal: AbortSignal,
): Promise<Delivery> {
  const intercepts = scanner === 'pipelock' && plans.pipelock.intercept;
  const [secrets, certificates, ca] = await Promise.all([
    resolveSecrets(secretRefsOf(plans), { signal }),
    readHostFiles(caFilesOf(plans)),
    intercepts ? ensureBottleCa(settings, bottle.id) : null,
  ]);
  rememberHanded(bottle.id, secrets);
  const [{ runId }, { bundleIp }] = [bottle, network];
  const config = renderBundle({ plans, scanner, runId, bundleIp, requests, secrets, certificates, ca });
  // A name for this delivery alone: anything made from its content would tell of the secrets in it.
  return { revision: randomUUID(), config };
}
