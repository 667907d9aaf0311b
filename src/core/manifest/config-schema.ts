/** `config.yaml` in BOTTLE_HOME: what a person sets once for a host. The file and every key in it are optional. */
import { z } from 'zod';
import { LINKS } from '../machine-link.ts';
import { driver, hostFile } from './fields.ts';
import { networkProxy } from './network-proxy-schema.ts';

/** Where each bottle's /28 comes from. */
export const DEFAULT_POOL = '10.214.0.0/16';
/** Docker's own bridge. */
export const DEFAULT_UPLINK = 'bridge';

const pool = z
  .string({ error: `expected a network such as ${DEFAULT_POOL}` })
  .refine(isPool, { error: `expected an IPv4 network such as ${DEFAULT_POOL}, with a prefix from /8 to /28` });
const uplink = z
  .string({ error: 'expected the name of a Docker network' })
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, { error: 'expected the name of a Docker network' });
const ui = z
  .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
  .transform((url) => url.replace(/\/+$/, ''));
const cpus = z.number({ error: 'expected a number of CPUs' }).gt(0, { error: 'expected more than 0 CPUs' });
const memory = z.int({ error: 'expected a whole number of MiB' }).min(128, { error: 'expected at least 128 MiB' });
const pids = z.int('expected a whole number').min(32, 'expected at least 32');
const atLeast = (least: number) => z.int('expected a whole number').min(least, `expected at least ${least}`);

export const configSchema = z.strictObject({
  driver: driver.optional().describe('the machine driver where neither a manifest nor the command line names one'),
  network: z
    .strictObject({
      pool: pool.default(DEFAULT_POOL).describe(`where each bottle's /28 comes from (${DEFAULT_POOL})`),
      uplink: uplink
        .default(DEFAULT_UPLINK)
        .describe(`the Docker network that is the bundles' way out (\`${DEFAULT_UPLINK}\`)`),
      link: z
        .enum(LINKS, { error: 'expected address or sockets' })
        .optional()
        .describe(
          "how a microVM reaches its bundle: `address` (where Docker's bridges are the host's own), or `sockets`, without any network",
        ),
      ca: hostFile
        .optional()
        .describe(
          "PEM file with CAs that every upstream may have, such as your company's; every machine trusts them too",
        ),
      proxy: networkProxy
        .optional()
        .describe(
          "the company's proxy, by which all goes out: `http://HOST:PORT`, or `{url, username, password, no_proxy}`",
        ),
    })
    .default({ pool: DEFAULT_POOL, uplink: DEFAULT_UPLINK }),
  hosts: z
    .strictObject({
      name: z
        .string({ error: 'expected a host name' })
        .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$/, {
          error: 'expected a host name: letters, digits, dots, dashes and underscores',
        })
        .optional()
        .describe('what this host is called (the name it had when it was first used, whatever it is called later)'),
    })
    .default({}),
  temporal: z
    .strictObject({ ui: ui.optional().describe('address of the UI of a server that is not the embedded one') })
    .default({}),
  resources: z
    .strictObject({ cpus: cpus.optional(), memoryMiB: memory.optional(), pids: pids.optional() })
    .default({})
    .describe('limits of a machine where the manifest sets none'),
  capacity: z
    .strictObject({
      bottles: atLeast(1)
        .optional()
        .describe("bottles at a time; more launches wait (one for each 192 MiB of nine tenths of the Engine's memory)"),
      launching: atLeast(1).optional().describe('launches at a time; more wait (twice the cores, from 2 to 16)'),
      cpus: cpus.optional().describe('CPUs that the `resources.cpus` of all machines may add up to (no limit)'),
      freeMemoryMiB: atLeast(0)
        .optional()
        .describe('memory that a launch leaves free, or it waits (a twentieth, from 128 to 2048)'),
      freeDiskMiB: atLeast(0).optional().describe('free disk of the Engine without which a launch waits (1024)'),
    })
    .default({}),
});

export type Config = z.output<typeof configSchema>;

/** An IPv4 network in CIDR form from /8 to /28, written by its first address, so that nothing is masked away unseen. */
function isPool(text: string): boolean {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return false;
  const numbers = match.slice(1).map(Number);
  const prefix = numbers.pop() as number;
  if (prefix < 8 || prefix > 28 || numbers.some((octet) => octet > 255)) return false;
  const address = numbers.reduce((sum, octet) => sum * 256 + octet, 0);
  return address % 2 ** (32 - prefix) === 0;
}
