/**
 * The tools of supervise as a model sees them: names, schemas, and descriptions, which are all that it knows of them. So
 * they say when to use which, and that a person is at the other end.
 */
import * as z from 'zod';
import { ASK_LIMITS, ASK_METHODS } from '../core/asks.ts';

const MAX_WAIT_SECONDS = 30;

export const INSTRUCTIONS = `You work in a sandbox. A person, your operator, can open ways out of it and answer questions: \
request_egress_route, ask_operator. They may take minutes or hours, so go on with other work and look with check_request. \
list_routes tells what you can already reach.`;

const status = z.enum(['pending', 'approved', 'denied', 'expired']);
const asked = z.object({ requestId: z.string(), status });
/** Claude Code keeps tools from the model until it searches for them: one that does not know that it can ask would not. */
const ALWAYS_SHOWN = { 'anthropic/alwaysLoad': true };
const READ_ONLY = { readOnlyHint: true, openWorldHint: false };
const ASKING = { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false };

export const ROUTE_TOOL = {
  title: 'Ask for a way out to a host',
  description: `Ask your operator to let you reach a host that the sandbox blocks (an answer like "403 blocked: domain not \
in allowlist"). Look at list_routes first: you may be able to reach it already. A person decides, which can take long: \
this returns a requestId at once; go on with other work and use check_request later. Asking the same again gives the \
same requestId, so do not ask in a loop. Ask for no more than you need. Without methods and pathPrefix the host itself \
is opened: once approved, use https://<host> as usual, through the proxy that is already set. With methods or \
pathPrefix only such requests are let through, and once approved you reach them as http://egress:9099/<host>/<path>.`,
  inputSchema: z.strictObject({
    host: z
      .string()
      .max(ASK_LIMITS.host)
      .describe('One host name, such as api.example.com or api.example.com:8443: no scheme, no path, no wildcard'),
    methods: z
      .array(z.string().max(16))
      .max(ASK_METHODS.length)
      .optional()
      .describe(`Only these HTTP methods, of ${ASK_METHODS.join(', ')}; leave out for any`),
    pathPrefix: z
      .string()
      .max(ASK_LIMITS.pathPrefix)
      .optional()
      .describe('Only paths that begin with this, such as /repos/me/; leave out for any'),
    reason: z.string().max(ASK_LIMITS.reason).describe('Why you need it, for the person who decides'),
  }),
  outputSchema: asked,
  annotations: ASKING,
  _meta: ALWAYS_SHOWN,
};

export const QUESTION_TOOL = {
  title: 'Ask the operator a question',
  description: `Ask your operator something that only they can decide or know: a choice between ways, a missing fact, \
leave to do something. Do not ask what you can find out yourself. A person answers, which can take long: this returns a \
requestId at once; go on with other work, on the most sensible assumption if need be, and use check_request later: the \
answer is its note. The same question again gives the same requestId. Say in the question all that one needs to know \
to answer it. Never put a secret in it.`,
  inputSchema: z.strictObject({
    question: z.string().max(ASK_LIMITS.question).describe('The question, with what one must know to answer it'),
    options: z
      .array(z.string().max(ASK_LIMITS.option))
      .max(ASK_LIMITS.options)
      .optional()
      .describe('Answers to choose from, if there are such'),
  }),
  outputSchema: asked,
  annotations: ASKING,
  _meta: ALWAYS_SHOWN,
};

export const CHECK_TOOL = {
  title: 'See whether a request is decided',
  description: `What became of a request: status pending, approved, denied or expired, the operator's note (the answer to \
a question), and for an approved route the url to use. With waitSeconds it waits up to so long for a decision; use that \
only when there is nothing else to do, and otherwise look now and then between other work.`,
  inputSchema: z.strictObject({
    requestId: z.string().max(64).describe('As request_egress_route or ask_operator gave it'),
    waitSeconds: z
      .number()
      .min(0)
      .max(MAX_WAIT_SECONDS)
      .optional()
      .describe('How long to wait for a decision; 0 if left out'),
  }),
  outputSchema: z.object({
    requestId: z.string(),
    status,
    note: z.string().nullable().describe("The operator's words; the answer to a question"),
    expiresAt: z.string().nullable().describe('When a grant ends; null: with the sandbox'),
    url: z.string().nullable().describe('Where a granted route is reached'),
    next: z.string().describe('What to do now'),
  }),
  annotations: READ_ONLY,
  _meta: ALWAYS_SHOWN,
};

export const LIST_TOOL = {
  title: 'See what can be reached',
  description: `The hosts and routes that you can reach now, each with the url to use, the git repositories that you can \
clone and push, and your requests that wait for a decision.`,
  inputSchema: z.strictObject({}),
  outputSchema: z.object({
    routes: z.array(
      z.object({
        url: z.string(),
        upstream: z.string(),
        methods: z.array(z.string()).describe('Empty: any'),
        paths: z.array(z.object({ type: z.string(), value: z.string() })).describe('Empty: any'),
        credential: z.boolean().describe('A credential is put in on the way: send none'),
        expiresAt: z.string().nullable(),
      }),
    ),
    repositories: z.array(z.string()),
    pending: z.array(z.object({ requestId: z.string(), asked: z.string() })),
  }),
  annotations: READ_ONLY,
  _meta: ALWAYS_SHOWN,
};
