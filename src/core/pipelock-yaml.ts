/**
 * The configuration of the real pipelock (v2.3, strict YAML: an unknown key is an error), rendered from a bottle's plan.
 * Every value that is not its default was measured against the program; what a value costs or saves is said beside it.
 */
import { stringify } from 'yaml';
import { type AllowEntry, isAddress, parseAllowEntry } from './allow-list.ts';
import type { Listen } from './bundle-config.ts';
import { EGRESS_NAME, PIPELOCK_FILES, SCANNER_LIMITS } from './daemons.ts';

export interface PipelockYamlInput {
  listen: Listen;
  /** Entries of allow-list.ts. */
  allow: readonly string[];
  /** Hosts of grants that have ended: no longer allowed, but still listed where taking them away would mean a restart. */
  formerlyAllowed: readonly string[];
  /** Whether egress runs behind it. */
  egress: boolean;
  /** Whether HTTPS to the hosts of the list is read, but for entries that say ` tunnel`. */
  intercept: boolean;
}

/**
 * Secrets that pipelock's own core patterns lack, each with a beginning nobody writes by chance. Its shipped set is
 * left out: it is three times slower (a body costs 4 ms a KB, and an agent sends its whole conversation each turn), and
 * its guesses (`password=`, card numbers, `API_KEY=`) end conversations about ordinary code.
 */
const PATTERNS: readonly [name: string, regex: string][] = [
  ['Anthropic API Key', 'sk-ant-[a-zA-Z0-9\\-_]{10,}'],
  ['OpenAI API Key', 'sk-(proj|svcacct)-[a-zA-Z0-9\\-_]{10,}'],
  ['Google API Key', 'AIza[0-9A-Za-z\\-_]{35}'],
  ['Google OAuth Client Secret', 'GOCSPX-[A-Za-z0-9_\\-]{28,}'],
  ['Stripe Key', '[sr]k_live_[a-zA-Z0-9]{20,}'],
  ['npm Token', 'npm_[A-Za-z0-9]{36,}'],
  ['PyPI Token', 'pypi-[A-Za-z0-9_-]{16,}'],
  ['Hugging Face Token', 'hf_[A-Za-z0-9]{30,}'],
  ['DigitalOcean Token', 'dop_v1_[a-f0-9]{64}'],
  ['Vault Token', 'hvs\\.[a-zA-Z0-9]{23,}'],
  ['SendGrid API Key', 'SG\\.[a-zA-Z0-9_-]{22}\\.[a-zA-Z0-9_-]{43}'],
  ['Slack App Token', 'xapp-[0-9]+-[A-Za-z0-9_]+-[0-9]+-[a-f0-9]+'],
];

/** pipelock ignores case unless it is told not to: `HF_` in random base64 is no token, and ended conversations. */
const asWritten = (regex: string): string => `(?-i:${regex})`;

/**
 * Replaced in what an agent sends rather than refused: a secret that was once read is sent again with every turn, and a
 * refusal each time would be the end of the conversation. Private keys are not among them: only their first line would
 * be replaced, and the key itself would pass.
 */
const REDACTED = ['aws-access-key', 'google-api-key', 'github-token', 'slack-token', 'jwt'];

/**
 * What interception does to an ordinary client, as measured on two cores. A connection takes 3 ms longer, a body 1 s (JSON)
 * to 2.6 s (binary) a MB, and an answer 0.7 s (text) to 2.6 s (binary) a MB before its first byte comes, since it is held
 * back until it was read whole: a package of 20 MB takes 50 s, longer than pip (15 s) and uv (30 s) wait. Only event streams
 * come as they are sent. An answer takes up to 25 times its size in memory meanwhile (16 MB: 310 MB, 33 MB: 820 MB), so there
 * is a limit; a longer one is refused with 403, not cut. HTTP/2 is spoken on both sides, and no compression: what a server
 * compresses without being asked is refused with 403, and so is a compressed request, such as git's of 1 KB and more. A JSON
 * body is written anew with its keys in order, so a signature over it breaks; one with a key twice, or of several documents,
 * is refused, and so is an address with an AWS key id in it, as signed ones have. WebSocket, client certificates, and whatever
 * is no HTTP over TLS do not get through. The entry of a host for which this will not do ends in ` tunnel`.
 */
const INTERCEPTION = { max_response_bytes: SCANNER_LIMITS.interceptedMiB * 1024 ** 2 };

/** @returns the file's text; the same input gives the same text */
export function pipelockYaml({ listen, allow, formerlyAllowed, egress, intercept }: PipelockYamlInput): string {
  const entries = allow.map(parseAllowEntry);
  const former = formerlyAllowed.map(parseAllowEntry);
  // In an order of their own: a host that ends being allowed must change nothing but the allow-list.
  const known = [...entries, ...former].toSorted((one, other) => (pattern(one) < pattern(other) ? -1 : 1));
  const hosts = unique(entries.map(pattern));
  const privateAddresses = known.filter(({ host, private: may }) => may && isAddress(host));
  const config = {
    version: 1,
    mode: 'strict',
    enforce: true,
    // A hint about the policy is a hint to whoever wants to get around it.
    explain_blocks: false,
    // On by default, and reports to the maker.
    sentry: { enabled: false },
    // Strict mode refuses an empty list; the name resolves to nothing.
    api_allowlist: [
      ...(egress ? [EGRESS_NAME] : []),
      ...hosts,
      ...(egress || hosts.length > 0 ? [] : ['none.invalid']),
    ],
    trusted_domains: [
      ...(egress ? [EGRESS_NAME] : []),
      ...unique(known.filter(({ host, private: may }) => may && !isAddress(host)).map(pattern)),
    ],
    ...(privateAddresses.length === 0
      ? {}
      : { ssrf: { ip_allowlist: unique(privateAddresses.map(({ host }) => cidr(host))) } }),
    fetch_proxy: {
      listen: `${listen.host}:${listen.port}`,
      // Of a whole request with its streamed answer; when it is over, the answer just ends, with status 200.
      timeout_seconds: SCANNER_LIMITS.requestSeconds,
      // A longer answer is cut, with status 200; egress refuses it before (SCANNER_LIMITS).
      max_response_mb: SCANNER_LIMITS.responseMiB,
      monitoring: {
        max_url_length: 4096,
        // Bits a character. Base64 has up to 6: a token in an address is refused at 5, and so are the signed addresses
        // and the cursors of ordinary APIs, once they are read.
        entropy_threshold: intercept ? 6 : 5,
        // Of one registered domain. What is intercepted counts by the request and not by the tunnel, and a package manager
        // asks for thousands; beyond it new tunnels are refused with 429.
        max_requests_per_minute: intercept ? 12_000 : 1200,
        // What is not on the allow-list is refused anyway.
        blocklist: [],
      },
    },
    forward_proxy: { enabled: true, max_tunnel_seconds: 14_400, idle_timeout_seconds: 600, sni_verification: true },
    request_body_scanning: {
      enabled: true,
      action: 'block',
      max_body_bytes: SCANNER_LIMITS.requestMiB * 1024 ** 2,
      scan_headers: true,
      header_mode: 'sensitive',
      sensitive_headers: ['Authorization', 'Cookie', 'X-Api-Key', 'X-Token', 'Proxy-Authorization', 'X-Goog-Api-Key'],
    },
    dlp: {
      include_defaults: false,
      // Its environment is empty, but for the path.
      scan_env: false,
      patterns: PATTERNS.map(([name, regex]) => ({ name, regex: asWritten(regex), severity: 'critical' })),
    },
    response_scanning: {
      // Off would hold event streams back until their end.
      enabled: true,
      action: 'warn',
      exempt_domains: [EGRESS_NAME],
      // Its core patterns look at every answer whatever is said here; the others would only warn in the log, and cost
      // as much again: an answer of 1 MB of JSON takes 1.8 s instead of 5, of random bytes 2.3 s instead of 5.4.
      include_defaults: false,
      patterns: [],
      // Off: events pass as they come, instead of at 150 KB a second.
      sse_streaming: { enabled: false },
    },
    // On by default: takes what it calls metadata out of images, and refuses GIF, WebP, sound and film.
    media_policy: { enabled: false },
    logging: { format: 'json', output: 'stdout', include_allowed: true, include_blocked: true },
    // Takes ordinary English for wallet phrases: it refused Claude's very first request.
    seed_phrase_detection: { enabled: false },
    // Also without interception: it closes the tunnel to egress past the scanner, since a CONNECT to a host that is not
    // passed through must be TLS that pipelock itself can read, which `egress` never is.
    tls_interception: {
      enabled: true,
      ca_cert: PIPELOCK_FILES.caCert,
      ca_key: PIPELOCK_FILES.caKey,
      passthrough_domains: unique(known.filter(({ tunnel }) => tunnel || !intercept).map(pattern)),
      ...(intercept ? INTERCEPTION : {}),
    },
    redaction: {
      enabled: true,
      default_profile: 'agent',
      profiles: { agent: { classes: REDACTED } },
      // What is not JSON cannot be rewritten; it is scanned and passed, where pipelock would refuse it. It takes letters,
      // digits and dashes, and refuses to start over any other name.
      allowlist_unparseable: unique([
        ...(egress ? [EGRESS_NAME] : []),
        ...known.flatMap((entry) => unique([pattern(entry), entry.host])).filter((name) => /^[a-z0-9.*-]+$/.test(name)),
      ]),
    },
  };
  return stringify(config, { lineWidth: 0 });
}

/**
 * What of a configuration a running pipelock takes on SIGHUP: in strict mode only a change of the allow-list. Two texts
 * with the same fixed part differ in nothing else; with another, it has to be started anew.
 */
export function fixedPart(yaml: string): string {
  return yaml.replace(/^api_allowlist:\n(?: .*\n)*/m, '');
}

/** `*.example.com` and `example.com` mean the same to both; pipelock's wildcard also takes the name itself. */
const pattern = ({ host, below }: AllowEntry): string => (below ? `*.${host}` : host);

const cidr = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

const unique = (values: readonly string[]): string[] => [...new Set(values)];
