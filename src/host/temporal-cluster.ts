/** What bottle asks of a Temporal cluster besides workflows: who it is, its namespace, its search attributes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { BottleError } from '../core/errors.ts';
import { RETENTION_DAYS, SEARCH_ATTRIBUTES } from './temporal-defaults.ts';

/** google.rpc.Code, as far as needed here: importing gRPC for some numbers would load it into every command. */
const GRPC = { invalidArgument: 3, notFound: 5, alreadyExists: 6 } as const;
/** Permission denied, unimplemented, unauthenticated: how servers say that an operator service is not for us. */
const REFUSED: readonly (number | undefined)[] = [7, 12, 16];

const KEYWORD = 2;
const MS_A_DAY = 86_400_000;
const USABLE_WITHIN_MS = 30_000;
const POLL_MS = 50;

/**
 * The owner of Docker objects made for this client: `<cluster id>/<namespace>`. The cluster id is made with the
 * server's database and stays the same for as long as that lives. A server that keeps its cluster to itself
 * (Temporal Cloud may) still tells the namespace's own id, which is as unique, and stands in for it.
 */
export async function clusterOwner(client: Client): Promise<string> {
  const { namespace } = client.options;
  const id = (await clusterId(client)) || (await namespaceId(client));
  if (id) return `${id}/${namespace}`;
  throw new BottleError('INTERNAL', 'the Temporal server tells neither its cluster id nor its namespace id', {
    retryable: false,
  });
}

async function clusterId(client: Client): Promise<string | undefined> {
  try {
    return (await client.workflowService.getClusterInfo({})).clusterId;
  } catch (error) {
    if (REFUSED.includes(grpcCode(error))) return undefined;
    throw error;
  }
}

async function namespaceId(client: Client): Promise<string | null | undefined> {
  const { namespace } = client.options;
  return (await client.workflowService.describeNamespace({ namespace })).namespaceInfo?.id;
}

/**
 * Makes the namespace if it is missing, and has it keep closed launches for a week. Only for the embedded server:
 * elsewhere, namespaces are their administrator's.
 */
export async function ensureNamespace(client: Client): Promise<void> {
  const { namespace } = client.options;
  const { msToTs, optionalTsToMs } = await import('@temporalio/common/lib/time.js');
  const retention = msToTs(RETENTION_DAYS * MS_A_DAY);
  try {
    const { config } = await client.workflowService.describeNamespace({ namespace });
    if ((optionalTsToMs(config?.workflowExecutionRetentionTtl) ?? 0) >= RETENTION_DAYS * MS_A_DAY) return;
    await client.workflowService.updateNamespace({ namespace, config: { workflowExecutionRetentionTtl: retention } });
  } catch (error) {
    if (grpcCode(error) !== GRPC.notFound) throw error;
    await client.workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: retention });
    // Every part of the server learns of a new namespace at its cache's next refresh only.
    await until(() => isKnown(client), `namespace ${namespace}`);
  }
}

/**
 * Registers what of {@link SEARCH_ATTRIBUTES} is missing, and returns when the namespace can be queried by all of them.
 * @throws BottleError `SERVER_FAILED` when they have to be made by someone else first
 */
export async function ensureSearchAttributes(client: Client): Promise<void> {
  const missing = await missingAttributes(client);
  if (missing.length === 0) return;
  const { namespace } = client.options;
  try {
    await client.connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (error) {
    const code = grpcCode(error);
    if (REFUSED.includes(code)) throw cannotRegister(namespace, missing);
    // Someone else was faster.
    if (code !== GRPC.alreadyExists) throw error;
  }
  // Frontends cache a namespace's attributes for some seconds, so registered is not yet usable.
  await until(() => isQueryable(client), 'a search attribute');
}

async function missingAttributes(client: Client): Promise<string[]> {
  const { namespace } = client.options;
  try {
    const { customAttributes } = await client.connection.operatorService.listSearchAttributes({ namespace });
    return SEARCH_ATTRIBUTES.filter((name) => !(name in (customAttributes ?? {})));
  } catch (error) {
    if (!REFUSED.includes(grpcCode(error))) throw error;
    // No operator service (Temporal Cloud), or not for us: then a query tells whether they are there.
    if (await isQueryable(client)) return [];
    throw cannotRegister(namespace, SEARCH_ATTRIBUTES);
  }
}

/** Waits for what is made to become usable. */
async function until(isUsable: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + USABLE_WITHIN_MS;
  while (!(await isUsable())) {
    if (Date.now() > deadline) {
      throw new BottleError('SERVER_FAILED', `${what} was made but cannot be used yet`, {
        retryable: true,
        hint: 'try again in a minute',
      });
    }
    await sleep(POLL_MS);
  }
}

async function isKnown(client: Client): Promise<boolean> {
  try {
    await client.workflowService.countWorkflowExecutions({ namespace: client.options.namespace });
    return true;
  } catch (error) {
    if (grpcCode(error) === GRPC.notFound) return false;
    throw error;
  }
}

async function isQueryable(client: Client): Promise<boolean> {
  const query = SEARCH_ATTRIBUTES.map((name) => `${name} = 'none'`).join(' OR ');
  try {
    await client.workflowService.countWorkflowExecutions({ namespace: client.options.namespace, query });
    return true;
  } catch (error) {
    if (grpcCode(error) === GRPC.invalidArgument) return false;
    throw error;
  }
}

function cannotRegister(namespace: string, names: readonly string[]): BottleError {
  return new BottleError('SERVER_FAILED', `namespace ${namespace} lacks the search attributes ${names.join(', ')}`, {
    hint: 'have them added with type Keyword: temporal operator search-attribute create; on Temporal Cloud in its UI or with tcld',
  });
}

function grpcCode(error: unknown): number | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}
