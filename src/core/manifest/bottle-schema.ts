/**
 * The front matter of a bottle file, the one source of its keys: `bottle schema` and README's table are made from it.
 * The keys are the newest of the original bot-bottle's (its PRDs 0011 to 0065), and below them ours.
 * Nothing has a default here: whether a file says something decides what it takes from those it extends.
 */
import { z } from 'zod';
import { egress } from './egress-schema.ts';
import {
  allowEntry,
  driver,
  duration,
  env,
  hostFile,
  httpsUrl,
  image,
  manifestName,
  resources,
  secretRef,
  truth,
} from './fields.ts';
import { gitGate } from './git-gate-schema.ts';

export const TEMPLATES = ['claude', 'codex'] as const;

const agentProvider = z
  .strictObject({
    template: z.enum(TEMPLATES, 'expected claude or codex').optional().describe('`claude` (default) or `codex`'),
    auth_token: secretRef.optional().describe('OAuth token, or anything the API takes as a bearer: a secret'),
    api_key: secretRef.optional().describe("key of the model's API: a secret"),
    base_url: httpsUrl.optional().describe("where the model is, if not at its maker's"),
    ca: hostFile.optional().describe("PEM file of the model's own CA"),
    private: truth.optional().describe('the model may be at a private address'),
    dockerfile: z.string('expected a path').optional().describe('of the original: the same as `image: {dockerfile}`'),
    forward_host_credentials: truth
      .optional()
      .describe("codex: takes the API key out of the host's `~/.codex/auth.json`"),
  })
  .superRefine(({ template, auth_token, api_key, forward_host_credentials: forward }, context) => {
    const complain = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    if (auth_token !== undefined && api_key !== undefined)
      complain('api_key', 'expected auth_token or api_key, not both');
    if (forward === true && template !== 'codex')
      complain('forward_host_credentials', 'expected template codex: only it can forward them');
    if (forward === true && (auth_token ?? api_key) !== undefined)
      complain('forward_host_credentials', 'expected no auth_token or api_key beside it');
  });

const limits = z
  .strictObject({
    lifetime: duration.describe('the bottle is stopped when it has been ready for so long'),
    idle: duration.describe(
      'the bottle is stopped when no process has run in it for so long, but those it began with: a server that was left running keeps it',
    ),
  })
  .partial();

export const bottleSchema = z.strictObject({
  extends: z
    .union(
      [manifestName, z.array(manifestName).max(20, 'expected at most 20 bottles')],
      'expected the name of a bottle file, or a list of names',
    )
    .optional()
    .describe('bottle files that this one is built on; it wins over them, later ones over earlier'),
  env: env
    .optional()
    .describe('variables of every process in the machine: text, `${NAME}` of the host, or `?question` asked at launch'),
  agent_provider: agentProvider
    .optional()
    .describe('whose agent, and its credential; without one the agent brings its own and talks to its model directly'),
  'git-gate': gitGate.optional().describe('repositories that the agent clones from and pushes to'),
  egress: egress.optional().describe('hosts that are reached through egress, with a credential the agent never sees'),
  supervise: truth.optional().describe('whether the agent may ask you'),
  allow: z
    .array(allowEntry, 'expected a list of host names')
    .optional()
    .describe(
      'hosts that may be reached without a credential: `example.com`, `*.example.com`, `example.com:8443`; ports 80 and 443 unless one is given; ` private` after it: may resolve to a private address; ` tunnel`: never intercepted',
    ),
  intercept: truth
    .optional()
    .describe("whether HTTPS to the hosts of `allow` is read and scanned, by a CA of the bottle's own"),
  driver: driver.optional().describe('`docker` (default) or `smolvm`'),
  image: image
    .optional()
    .describe(
      'what the machine is made from: `full` (default), `minimal`, the tag of an image, `{dockerfile: PATH}`, or with driver smolvm `{smolmachine: PATH}`',
    ),
  resources: resources.optional().describe('`cpus`, `memoryMiB`, `pids`: limits of the machine (2, 4096, 1024)'),
  limits: limits.optional().describe('`lifetime`, `idle`: when the bottle is stopped by itself'),
});

export type BottleManifest = z.output<typeof bottleSchema>;
