/** Has the machine trust the CA of its bottle, where the bundle reads HTTPS. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { CA_FILE } from '../core/ca-environment.ts';
import { BottleError } from '../core/errors.ts';
import { GUEST } from '../core/plan.ts';
import type { CaInput } from '../core/step-io.ts';
import { ensureBottleCa } from '../host/bottle-ca.ts';
import type { MachineDriver } from '../host/machine/driver.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import type { ActivityHost } from './activity-host.ts';

/**
 * Puts the certificate into the machine's store, in the place of an older one; nothing where nothing is intercepted.
 * @throws BottleError `PROVISION_FAILED` with what the machine said, `MACHINE_NOT_RUNNING`, `STATE_MISSING`
 */
export async function provisionCa(
  host: Pick<ActivityHost, 'docker' | 'owner' | 'settings'>,
  { bottle, driver, intercept }: CaInput,
  signal: AbortSignal,
): Promise<null> {
  if (!intercept) return null;
  // The bundle, which has the key, may be made at the same time: whoever comes first makes both.
  const { cert } = await ensureBottleCa(host.settings, bottle.id);
  signal.throwIfAborted();
  const machine = machineDriver(driver, host);
  await machine.putFiles(bottle.id, [{ path: CA_FILE, mode: 0o644, owner: 'root', content: Buffer.from(cert) }]);
  const store = await updateStore(machine, bottle.id, signal);
  if (store.includes(cert)) return null;
  throw new BottleError('PROVISION_FAILED', `the CA of ${bottle.id} is not in ${GUEST.caBundle}, though it was added`);
}

/**
 * Debian's program adds to what a run that was killed has left of the new store, and makes links to certificates for
 * OpenSSL only where one was added: so there is nothing left of it before, one run at a time, and the links are made anew.
 */
const UPDATE = `set -e; exec 9<"$(dirname "$1")"; flock 9
rm -f "$2.new"; update-ca-certificates >&2; openssl rehash "$(dirname "$2")" >&2
openssl verify -no-CAfile -no-CAstore -CApath "$(dirname "$2")" "$1" >&2; cat "$2"`;

/** As root, so by the programs of the image alone, whatever the environment of the machine says of others. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const SAID_LINES = 5;

/** @returns the whole store, PEM */
async function updateStore(machine: MachineDriver, id: string, signal: AbortSignal): Promise<string> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const printed = Promise.all([text(stdout), text(stderr)]);
  const argv = ['sh', '-c', UPDATE, 'sh', CA_FILE, GUEST.caBundle];
  const { exitCode } = await machine
    .exec(id, { argv, user: 'root', workdir: '/', env: { PATH }, stdout, stderr, signal })
    .finally(() => {
      stdout.end();
      stderr.end();
    });
  const [store, said] = await printed;
  if (exitCode === 0) return store;
  const last = said.trim().split('\n').slice(-SAID_LINES).join(' | ');
  throw new BottleError('PROVISION_FAILED', `update-ca-certificates in the machine ended with ${exitCode}: ${last}`, {
    hint: 'the guest image needs the package ca-certificates of Debian',
  });
}
