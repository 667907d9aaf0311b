/** What a bundle's init is to be given, with every secret read on the host at this moment. */
import { randomUUID } from 'node:crypto';
import type { Delivery } from '../core/bundle-config.ts';
import { caFilesOf, secretRefsOf } from '../core/bundle-plans.ts';
import { renderBundle } from '../core/render-bundle.ts';
import type { BundleInput } from '../core/step-io.ts';
import { readHostFiles, resolveSecrets } from './secrets.ts';

/** @throws BottleError `SECRET_MISSING` */
export async function makeDelivery({ plans, scanner, network, requests }: BundleInput): Promise<Delivery> {
  const [secrets, certificates] = await Promise.all([
    resolveSecrets(secretRefsOf(plans)),
    readHostFiles(caFilesOf(plans)),
  ]);
  const config = renderBundle({ plans, scanner, bundleIp: network.bundleIp, requests, secrets, certificates });
  // A name for this delivery alone: anything made from its content would tell of the secrets in it.
  return { revision: randomUUID(), config };
}
