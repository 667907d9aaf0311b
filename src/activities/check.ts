/** The last step: proof, from inside the machine, that it is as closed and as able as a bottle must be. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { exampleOf, parseAllowEntry } from '../core/allow-list.ts';
import { PIPELOCK_PORT } from '../core/daemons.ts';
import { BottleError } from '../core/errors.ts';
import type { CheckInput } from '../core/step-io.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import type { ActivityHost } from './activity-host.ts';

/** @throws BottleError `CHECK_FAILED` naming every probe that went wrong */
export async function check(host: ActivityHost, input: CheckInput, signal: AbortSignal): Promise<null> {
  const output = new PassThrough();
  const printed = text(output);
  const { network, allow } = input;
  const proxy = `${network.bundleIp}:${PIPELOCK_PORT}`;
  const argv = ['sh', '-c', PROBES, 'sh', proxy, verdictQuery(allow), network.gateway];
  const request = { argv, stdout: output, stderr: output, signal };
  await machineDriver(input.driver, host)
    .exec(input.bottle.id, request)
    .finally(() => output.end());
  const failures = judge(parseProbes(await printed));
  if (failures.length === 0) return null;
  throw new BottleError('CHECK_FAILED', failures.join('; '), {
    hint: `look inside with: bottle exec ${input.bottle.id} -it -- sh`,
  });
}

/** The first listed host as the proxy's `/verdict` takes it; empty when nothing is listed. */
function verdictQuery([first]: readonly string[]): string {
  if (first === undefined) return '';
  const { host, port } = exampleOf(parseAllowEntry(first));
  return `host=${host}&port=${port}`;
}

/** A host name nobody lists: RFC 2606 keeps `.invalid` free for ever. */
const UNLISTED = 'unlisted.bottle.invalid';
/** A public address, dialled directly: it must not even be routed. */
const PUBLIC_ADDRESS = '1.1.1.1';

/**
 * All probes at once, one line each: `name<TAB>what was seen`. curl's `-v` tells a refusal by somebody
 * ("Connection refused": that host can be reached) from nobody being there.
 */
const PROBES = `
proxy=$1 listed=$2 gateway=$3
see() { printf '%s\\t%s\\n' "$1" "$2"; }
status() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 "$@"; }
dial() { curl -sv --noproxy '*' -o /dev/null --connect-timeout 2 --max-time 3 "$1" 2>&1 | grep -Ei 'connected to|refused|no route|unreachable|timed out|timeout' | head -n 1; }
(see proxy "$(status --noproxy '*' "http://$proxy/health")") &
(see listed "$(if [ -z "$listed" ]; then echo none; else curl -s --max-time 5 --noproxy '*' "http://$proxy/verdict?$listed"; fi)") &
(see unlisted "$(status -x "http://$proxy" "http://${UNLISTED}/")") &
(see unlisted-tls "$(curl -s -o /dev/null -w '%{http_connect}' --max-time 5 -x "http://$proxy" "https://${UNLISTED}/")") &
(see direct "$(dial "http://${PUBLIC_ADDRESS}/")") &
(see gateway "$(dial "http://$gateway/")") &
(see networks "$(ip -o -4 address show scope global | awk '{ printf "%s ", $4 }')") &
(see agent "$(claude --version 2>&1 | head -n 1)") &
wait`;

type Probes = Record<string, string>;

function parseProbes(printed: string): Probes {
  const pairs = printed.split('\n').map((line) => line.split('\t', 2));
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => pair.length === 2));
}

/** What curl says when nobody answered, not even to refuse. */
const NOBODY = /no route|unreachable|timed out|timeout/i;

/** What is wrong, in words; empty when all is well. Silence counts as failure: a probe that did not run proves nothing. */
export function judge(seen: Probes): string[] {
  const failures: string[] = [];
  const expect = (name: string, right: RegExp, wrong: string): void => {
    const value = seen[name];
    if (value === undefined || !right.test(value))
      failures.push(`${wrong} (${name}: ${value?.slice(0, 120) ?? 'no answer'})`);
  };
  expect('proxy', /^200$/, 'the way out through the bundle does not answer');
  expect('listed', /^none$|"verdict":\s*"allow"/, 'a listed host is refused');
  expect('unlisted', /^403$/, 'an unlisted host is not refused');
  expect('unlisted-tls', /^403$/, 'an unlisted host is not refused over TLS');
  expect('direct', NOBODY, 'the internet can be reached directly');
  expect('gateway', NOBODY, 'the host can be reached through the gateway');
  expect('networks', /^\S+ $/, 'the machine is on another network than its own');
  expect('agent', /\d+\.\d+/, 'the agent does not run');
  return failures;
}
