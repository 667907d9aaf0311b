/** contract.md's JSON documents as strict schemas: a field too few, too many or of another kind fails. */
import { z } from 'zod';

const timestamp = z.iso.datetime({ precision: 3 });
const ipv4 = z.ipv4();
const phase = z.enum(['launching', 'held', 'ready', 'healing', 'stopping', 'stopped', 'failed']);
const driver = z.enum(['docker', 'smolvm']);
const error = z.strictObject({
  code: z.string().regex(/^[A-Z][A-Z_]+$/),
  message: z.string().regex(/^[^\n]+$/),
  hint: z.string().optional(),
  problems: z.array(z.string()).optional(),
});

const stepIds = [
  'prepare',
  'network',
  'bundle',
  'machine.create',
  'machine.start',
  'provision.ca',
  'provision.prompt',
  'provision.skills',
  'provision.git',
  'provision.supervise',
  'provision.agent',
  'check',
];

const step = z.strictObject({
  id: z.enum(stepIds),
  state: z.enum(['pending', 'running', 'done', 'held', 'skipped', 'undoing', 'undone', 'undo-held']),
  attempts: z.int().min(0),
  startedAt: timestamp.optional(),
  durationMs: z.number().min(0).optional(),
  error: error.optional(),
});

const request = z.strictObject({
  id: z.string(),
  ask: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('egress-route'),
      host: z.string(),
      methods: z.array(z.string()),
      pathPrefix: z.string().nullable(),
      reason: z.string(),
    }),
    z.strictObject({ kind: z.literal('question'), question: z.string(), options: z.array(z.string()) }),
  ]),
  askedAt: timestamp,
  state: z.enum(['pending', 'approved', 'denied', 'expired']),
  decidedAt: timestamp.nullable(),
  note: z.string().nullable(),
  expiresAt: timestamp.nullable(),
  private: z.boolean(),
});

/** Rows of `bottle requests --json`, and what `approve` and `deny` print. */
export const requestRowSchema = request.extend({ bottle: z.string() });

export const statusSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9](-?[a-z0-9])*$/),
  agent: z.string(),
  phase,
  host: z.string(),
  driver: driver.nullable(),
  runId: z.uuid(),
  uiUrl: z.url().nullable(),
  startedAt: timestamp,
  readyAt: timestamp.nullable(),
  stoppedBy: z.enum(['lifetime', 'idle']).nullable(),
  madeBy: z.strictObject({ owner: z.string(), run: z.uuid() }).optional(),
  limits: z
    .strictObject({ lifetimeMs: z.number().nullable(), idleMs: z.number().nullable(), endsAt: timestamp.nullable() })
    .optional(),
  network: z
    .strictObject({ name: z.string(), subnet: z.cidrv4().endsWith('/28'), gateway: ipv4, bundleIp: ipv4 })
    .nullable(),
  bundle: z
    .strictObject({
      container: z.string(),
      daemons: z.record(z.string(), z.string()),
      scanner: z.enum(['pipelock', 'allow-list']),
      refused: z.array(z.strictObject({ route: z.string(), status: z.int(), at: z.string() })),
    })
    .nullable(),
  machine: z.strictObject({ name: z.string(), state: z.enum(['created', 'running', 'stopped', 'absent']) }).nullable(),
  wayOut: z.strictObject({ host: z.string(), why: z.string() }).optional(),
  steps: z.array(step).length(stepIds.length),
  requests: z.array(request),
  olderRequests: z.number().optional(),
});

export const rowSchema = z.strictObject({
  id: z.string(),
  agent: z.string(),
  phase,
  host: z.string(),
  driver: driver.nullable(),
  heldSteps: z.array(z.enum(stepIds)),
  stoppedBy: z.enum(['lifetime', 'idle']).optional(),
  startedAt: timestamp,
  trouble: error.optional(),
});

export const errorSchema = z.strictObject({ error });
