/** Has the machine trust what its image does not: the CA of its bottle, where the bundle reads HTTPS, and those of `network.ca`. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { ADDED_CAS, CA_FILE, NETWORK_CA } from '../core/ca-environment.ts';
import { BottleError } from '../core/errors.ts';
import { GUEST } from '../core/plan.ts';
import type { CaInput } from '../core/step-io.ts';
import { ensureBottleCa } from '../host/bottle-ca.ts';
import { noteCasAdded, wereCasAdded } from '../host/bottle-state.ts';
import type { GuestFile, MachineDriver } from '../host/machine/driver.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { readNetworkCa } from '../host/network-ca.ts';
import type { ActivityHost } from './activity-host.ts';

/**
 * Puts the certificates into the machine's store, in the place of older ones; nothing where there never were any.
 * @throws BottleError `PROVISION_FAILED` with what the machine said, `MACHINE_NOT_RUNNING`, `STATE_MISSING`,
 *   `MANIFEST_INVALID` when the file of `network.ca` is no more what it was
 */
export async function provisionCa(
  host: Pick<ActivityHost, 'docker' | 'owner' | 'settings'>,
  { bottle, driver, intercept, ca }: CaInput,
  signal: AbortSignal,
): Promise<null> {
  if (!intercept && ca === undefined && !(await wereCasAdded(host.settings, bottle.id))) return null;
  // The bundle, which has the key, may be made at the same time: whoever comes first makes both.
  const own = intercept ? [{ at: CA_FILE, cert: (await ensureBottleCa(host.settings, bottle.id)).cert }] : [];
  const network = ca === undefined ? [] : readNetworkCa(ca.file, host.settings);
  const added = [...own, ...network.map((cert, index) => ({ at: `${NETWORK_CA}${index + 1}.crt`, cert }))];
  signal.throwIfAborted();
  await noteCasAdded(host.settings, bottle.id);
  const machine = machineDriver(driver, host);
  const files = [...added, { at: ADDED_CAS, cert: added.map(({ cert }) => cert).join('') }];
  await machine.putFiles(bottle.id, files.map(certificateFile));
  const store = await updateStore(
    machine,
    bottle.id,
    added.map(({ at }) => at),
    signal,
  );
  const missing = added.filter(({ cert }) => !store.includes(cert.trim()));
  if (missing.length === 0) return null;
  const names = missing.map(({ at }) => at).join(', ');
  throw new BottleError(
    'PROVISION_FAILED',
    `${names} of ${bottle.id} is not in ${GUEST.caBundle}, though it was added`,
  );
}

const certificateFile = ({ at, cert }: { at: string; cert: string }): GuestFile => {
  return { path: at, mode: 0o644, owner: 'root', content: Buffer.from(cert) };
};

/**
 * Debian's program adds to what a run that was killed has left of the new store, and makes links to certificates for
 * OpenSSL only where one was added: so there is nothing left of it before, one run at a time, and the links are made anew.
 * Certificates of ours that are no more to be trusted go first.
 */
const UPDATE = `set -e; store=$1 own=$2 network=$3; shift 3; exec 9<"$(dirname "$network")"; flock 9
for old in "$own" "$network"*.crt; do
  case " $* " in *" $old "*) ;; *) rm -f "$old" ;; esac
done
find "$(dirname "$store")" -xtype l -delete
rm -f "$store.new"; update-ca-certificates >&2; openssl rehash "$(dirname "$store")" >&2
for each in "$@"; do openssl verify -partial_chain -no_check_time -no-CAfile -no-CAstore -CApath "$(dirname "$store")" "$each" >&2; done
cat "$store"`;

/** As root, so by the programs of the image alone, whatever the environment of the machine says of others. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const SAID_LINES = 5;

/** @returns the whole store, PEM */
async function updateStore(
  machine: MachineDriver,
  id: string,
  certificates: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const printed = Promise.all([text(stdout), text(stderr)]);
  const argv = ['sh', '-c', UPDATE, 'sh', GUEST.caBundle, CA_FILE, NETWORK_CA, ...certificates];
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
