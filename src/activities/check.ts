/** The last step: proof, from inside the machine, that it is as closed and as able as a bottle must be. */
import { PassThrough, type Readable } from 'node:stream';
import { exampleOf, parseAllowEntry } from '../core/allow-list.ts';
import { EGRESS_PORT, EGRESS_URL, GIT_GATE_PORT, PIPELOCK_PORT, SUPERVISE_PORT } from '../core/daemons.ts';
import { BottleError } from '../core/errors.ts';
import { GUEST } from '../core/plan.ts';
import type { Unsearched, WayOutProblem } from '../core/reach.ts';
import type { SecretRef } from '../core/secret-ref.ts';
import type { CheckInput, CheckResult } from '../core/step-io.ts';
import { handedSecrets } from '../host/handed-secrets.ts';
import { loginProblem } from '../host/login-way-out.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { searchFor } from '../host/secret-search.ts';

import type { ActivityHost } from './activity-host.ts';

/** @throws BottleError `CHECK_FAILED` naming every probe that went wrong, `SECRET_MISSING` */
export async function check(host: ActivityHost, input: CheckInput, signal: AbortSignal): Promise<CheckResult> {
  const secrets = await handedSecrets(input.bottle.id, input.secrets, signal);
  const [belongings, probes] = [new PassThrough(), new PassThrough()];
  const looking = Promise.all([searchOf(belongings, secrets), beginningOf(probes)]);
  await machineDriver(input.driver, host)
    .exec(input.bottle.id, { argv: probeArgv(input), stdout: belongings, stderr: probes, signal })
    .finally(() => {
      belongings.end();
      probes.end();
    });
  const [{ found, unsearched }, printed] = await looking;
  const seen = parseProbes(printed);
  const failures = [
    ...judge(seen, expectations(input)),
    ...[...found].map(
      ([reference, file]) =>
        `the secret ${reference} is in the machine${file === undefined ? '' : `, in ${oneLine(file)}`}`,
    ),
  ];
  if (failures.length === 0) {
    const wayOut = wayOutOf(seen[WAY_OUT]) ?? told(await loginProblem(input.bottle.id));
    return unsearched === undefined ? wayOut : { ...wayOut, unsearched };
  }
  throw new BottleError('CHECK_FAILED', failures.join('; '), {
    hint: `look inside with: bottle exec ${input.bottle.id} -it -- sh`,
  });
}

/** A host name nobody lists: RFC 2606 keeps `.invalid` free for ever. */
const UNLISTED = 'unlisted.bottle.invalid';
/** A public address, dialled directly: it must not even be routed. */
const PUBLIC_ADDRESS = '1.1.1.1';
/** Asked of whoever answers for names: where one does, whatever is asked of it reaches the internet. */
const PUBLIC_NAME = 'example.com';
/** The probe whose answer is told and not judged: where the bottle leads nowhere, it is still as closed as it must be. */
const WAY_OUT = 'way-out';
const MAX_TOLD = 300;
/** Ends what is searched: how many bytes there are, and how many of them were looked at. */
const SEARCHED = '--searched--';
const MIB = 1024 ** 2;
/** Of one file, and of all: a workspace may be of any size, and a launch waits for this. */
const LARGEST_PART = 4 * MIB;
const LARGEST_SEARCH = 32 * MIB;
/** And no longer than this, on a disk however slow. */
const SEARCH_SECONDS = 60;
/** With the names of the files. */
const LARGEST_STREAM = 40 * MIB;

/** Of what the probes print, which is a line each. */
const LARGEST_ANSWERS = MIB;

/**
 * Seconds that a daemon may take to answer. Whoever refuses does so at once, so only one that hangs costs as much; on a computer
 * on which many bottles come up, a good one has taken more than five.
 */
const ANSWER_SECONDS = 20;

/**
 * All probes at once, one line each on standard error: `name<TAB>what was seen`. They mostly wait, and meanwhile everything of the
 * machine that could hold a credential goes to standard output, small files first. curl's `-v` tells a refusal by somebody
 * ("Connection refused": that host can be reached) from nobody being there. An empty `--noproxy` has it use the proxy for
 * egress too, which NO_PROXY names. Egress needs three seconds at most to know whether its first route is reached; it is asked
 * until it does.
 */
const PROBES = `
bundle=$1 listed=$2 gateway=$3 daemons=" $4 " program=$5 driver=$6 scanner=$7 proxy=$1:${PIPELOCK_PORT}
see() { printf '%s\\t%s\\n' "$1" "$2" >&2; }
status() { curl -s -o /dev/null -w '%{http_code}' --max-time ${ANSWER_SECONDS} "$@"; }
dial() { curl -sv --noproxy '*' -o /dev/null --connect-timeout 2 --max-time 3 "$1" 2>&1 | grep -Ei 'connected to|refused|no route|unreachable|timed out|timeout' | head -n 1; }
way_out() { for n in 1 2 3 4 5 6 7; do told=$(curl -s --max-time 5 --noproxy '*' ${EGRESS_URL}/); case $told in '{"wayOut":null,"routes":[{'*) sleep 0.5 ;; *) break ;; esac; done; printf '%s\\n' "$told"; }
has() { case $daemons in *" $1 "*) return 0 ;; esac; return 1; }
(see proxy "$(status --noproxy '*' "http://$proxy/health")") &
(see unlisted "$(status -x "http://$proxy" "http://${UNLISTED}/")") &
(see unlisted-tls "$(curl -s -o /dev/null -w '%{http_connect}' --max-time ${ANSWER_SECONDS} -x "http://$proxy" "https://${UNLISTED}/")") &
(see direct "$(dial "http://${PUBLIC_ADDRESS}/")") &
(see gateway "$(dial "http://$gateway/")") &
(see networks "$(ip -o -4 address show scope global | awk '{ printf "%s ", $4 }')") &
if [ "$driver" = smolvm ]; then
  (see host "$(way=$(ip -4 route show default | awk '{ print $3; exit }'); [ -z "$way" ] && echo unreachable || dial "http://$way/")") &
  (see names "$(timeout 5 getent ahostsv4 ${PUBLIC_NAME} > /dev/null && echo answered || echo none)") &
fi
(see agent "$("$program" --version 2>&1 | head -n 1)") &
if [ -n "$listed" ]; then (see listed "$(curl -s --max-time ${ANSWER_SECONDS} --noproxy '*' "http://$proxy/verdict?$listed")") & fi
if has egress; then
  (see egress "$(status --noproxy '' -x "http://$proxy" ${EGRESS_URL}/)") &
  (see ${WAY_OUT} "$(way_out | sed -n 's/^{"wayOut":\\({[^{}]*}\\).*/\\1/p' | head -c 1000)") &
  (see egress-name "$(status --noproxy '*' ${EGRESS_URL}/)") &
  (see egress-direct "$(status --noproxy '*' "http://$bundle:${EGRESS_PORT}/")") &
  (see egress-tunnel "$(status --noproxy '' -p -x "http://$proxy" ${EGRESS_URL}/)") &
  (see egress-front-tunnel "$(curl -s -o /dev/null -w '%{http_connect}' --max-time ${ANSWER_SECONDS} --noproxy '' -p -x "http://$bundle:${EGRESS_PORT}" ${EGRESS_URL}/)") &
  if [ "$scanner" = pipelock ]; then (see egress-scanned "$(status --noproxy '*' "${EGRESS_URL}/?check=sk-ant-$(printf api03)-0123456789-0123456789")") &
  else (see egress-scanned "$(status --noproxy '*' -X GET -H 'Transfer-Encoding: chunked' -d check ${EGRESS_URL}/)") &
  fi
fi
if has git-gate; then (see git-gate "$(status --noproxy '*' "http://$bundle:${GIT_GATE_PORT}/")") & fi
if has supervise; then (see supervise "$(status --noproxy '*' "http://$bundle:${SUPERVISE_PORT}/mcp")") & fi
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
echo
look() { find ${GUEST.home} -type f -path '${GUEST.home}/.*' -size -256k "$@" 2>/dev/null
  find ${GUEST.workspace} /tmp /var/tmp -xdev -type f ! -path '*/.git/objects/*' "$@" 2>/dev/null; }
sizes='0 0' cut=
if find / -maxdepth 0 -printf '' 2>/dev/null; then
  sizes=$(look -printf '%s\\n' | awk '{ all += $1; read += ($1 > ${LARGEST_PART}) ? ${LARGEST_PART} : $1 }
    END { printf "%.0f %.0f", all, ((read > ${LARGEST_SEARCH}) ? ${LARGEST_SEARCH} : read) }')
  { cut=$({ look -printf '%s\\t%p\\0' | sort -zn | cut -zf2- | {
      timeout ${SEARCH_SECONDS} xargs -0 -r head -v -c ${LARGEST_PART} 2>/dev/null
      case $? in 124 | 143) echo ' cut' >&3 ;; esac
    } | head -c ${LARGEST_STREAM} >&4; } 3>&1); } 4>&1
else look -exec cat {} + | head -c ${LARGEST_STREAM}
fi
wait
printf '\\n${SEARCHED}%s\\n' "$sizes$cut"`;

/** What runs in the machine; exported for its test. */
export function probeArgv({ driver, network, daemons, scanner, template, allow }: CheckInput): string[] {
  const [first] = allow;
  // Only the allow-list proxy can be asked; of pipelock, egress behind it shows that it lets through what it should.
  const listed = scanner === 'allow-list' && first !== undefined ? verdictQuery(first) : '';
  return [
    'sh',
    '-c',
    PROBES,
    'sh',
    network.bundleIp,
    listed,
    network.gateway,
    daemons.join(' '),
    template,
    driver,
    scanner,
  ];
}

/** An allow-list entry as the proxy's `/verdict` takes it. */
function verdictQuery(entry: string): string {
  const { host, port } = exampleOf(parseAllowEntry(entry));
  return `host=${host}&port=${port}`;
}

interface Looked {
  found: ReadonlyMap<SecretRef, string | undefined>;
  /** Present where not all of the machine was looked at. */
  unsearched?: Unsearched;
}

/** Looks for secrets in what {@link PROBES} print of the machine; nothing of it is kept. */
export async function searchOf(belongings: Readable, secrets: ReadonlyMap<SecretRef, string>): Promise<Looked> {
  const search = searchFor(secrets);
  let last = '';
  let taken = 0;
  for await (const chunk of belongings as AsyncIterable<Buffer>) {
    search.take(chunk);
    taken += chunk.length;
    last = (last + chunk.toString('latin1')).slice(-100);
  }
  const [, all, most, cut] = new RegExp(`\\n${SEARCHED}(\\d+) (\\d+)( cut)?\\n$`).exec(last) ?? [];
  // Cut short by its time, it is what has come by then, names and processes included.
  const read = cut === undefined ? Number(most) : Math.min(Number(most), taken);
  const unsearched = cut !== undefined || Number(all) > read ? { bytes: Number(all), searchedBytes: read } : undefined;
  return { found: search.found, ...(unsearched === undefined ? {} : { unsearched }) };
}

async function beginningOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (bytes < LARGEST_ANSWERS) chunks.push(chunk);
    bytes += chunk.length;
  }
  return Buffer.concat(chunks).toString();
}

type Probes = Record<string, string>;

function parseProbes(printed: string): Probes {
  const pairs = printed.split('\n').map((line) => line.split('\t', 2));
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => pair.length === 2));
}

/** What curl says when nobody answered, not even to refuse. */
const NOBODY = /no route|unreachable|timed out|timeout/i;

/** Name of a probe, what it must have seen, and what is wrong when it has not. */
export type Expectation = readonly [name: string, right: RegExp, wrong: string];

export function expectations({
  driver,
  link,
  front,
  daemons,
  scanner,
  allow,
}: Pick<CheckInput, 'driver' | 'link' | 'front' | 'daemons' | 'scanner' | 'allow'>): Expectation[] {
  const of = (present: boolean, ...expected: Expectation[]): Expectation[] => (present ? expected : []);
  return [
    ['proxy', /^200$/, 'the way out through the bundle does not answer'],
    ...of(scanner === 'allow-list' && allow.length > 0, ['listed', /"verdict":\s*"allow"/, 'a listed host is refused']),
    ['unlisted', /^403$/, 'an unlisted host is not refused'],
    ['unlisted-tls', /^403$/, 'an unlisted host is not refused over TLS'],
    ['direct', NOBODY, 'the internet can be reached directly'],
    ['gateway', NOBODY, 'the host can be reached through the gateway'],
    link === 'sockets'
      ? ['networks', /^$/, 'the machine is on a network, and should be on none']
      : ['networks', /^\S+ $/, 'the machine is on another network than its own'],
    ...of(
      driver === 'smolvm',
      ['host', NOBODY, "the host can be reached through the machine's own gateway"],
      ['names', /^none$/, 'names of the internet are answered'],
    ),
    ['agent', /\d+\.\d+/, 'the agent does not run'],
    ...of(
      daemons.includes('egress'),
      ['egress', /^200$/, 'egress cannot be reached through the scanner'],
      ['egress-tunnel', /^(000|4\d\d|5\d\d)$/, 'egress can be reached by a tunnel past the scanner'],
    ),
    // Of a bundle from before anybody stood there; or of one that had somebody and was launched by a version that did not say so.
    ...of(daemons.includes('egress') && front === undefined, [
      'egress-direct',
      /^(000|421)$/,
      'egress can be reached without the scanner',
    ]),
    ...of(
      daemons.includes('egress') && front !== undefined,
      ['egress-name', /^200$/, 'egress cannot be reached by its name without a proxy'],
      // Who stands there answers to the name alone; egress itself would answer to any.
      ['egress-direct', /^421$/, 'egress can be reached without the scanner'],
      // Something that only the scanner refuses, in these words: egress would say 200 or 400.
      [
        'egress-scanned',
        scanner === 'pipelock' ? /^403$/ : /^411$/,
        'what is asked of egress by its name is not scanned',
      ],
      ['egress-front-tunnel', /^405$/, 'whoever answers to the name of egress makes tunnels'],
    ),
    ...of(daemons.includes('git-gate'), ['git-gate', /^404$/, 'the push gate does not answer']),
    ...of(daemons.includes('supervise'), ['supervise', /^405$/, 'supervise does not answer']),
  ];
}

/** What is wrong, in words; empty when all is well. Silence counts as failure: a probe that did not run proves nothing. */
export function judge(seen: Probes, expected: readonly Expectation[]): string[] {
  return expected.flatMap(([name, right, wrong]) => {
    const value = seen[name];
    if (value !== undefined && right.test(value)) return [];
    return [`${wrong} (${name}: ${value?.slice(0, 120) ?? 'no answer'})`];
  });
}

/** What egress tells of its way out. It comes through the machine, so it is anybody's text: a line or two, not long. */
export function wayOutOf(said = ''): CheckResult {
  const { reached, host, why } = objectIn(said);
  if (reached !== false || typeof host !== 'string' || typeof why !== 'string') return null;
  return told({ host, why });
}

const told = (problem: WayOutProblem | undefined): CheckResult =>
  problem === undefined ? null : { wayOut: { host: oneLine(problem.host), why: oneLine(problem.why) } };

function objectIn(json: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(json)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const oneLine = (text: string): string =>
  text
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, MAX_TOLD);
