/** The plan: a manifest resolved for one host. Pure data, no secrets; what every later step is cut from. */
import type { BundlePlans, Scanner } from './bundle-plans.ts';
import type { DaemonName } from './daemons.ts';
import type { Link } from './machine-link.ts';
import type { StockImage } from './manifest/fields.ts';
import type { AgentSettings } from './providers/agent-settings.ts';
import type { Credential, Template } from './providers/provider.ts';
import type { Driver } from './status.ts';

/** Where things are inside every machine, whatever its driver; the guest image is built to match. */
export const GUEST = {
  user: 'agent',
  uid: 1000,
  home: '/home/agent',
  workspace: '/home/agent/workspace',
  promptFile: '/home/agent/.bottle/prompt.md',
  gitConfigFile: '/home/agent/.bottle/gitconfig',
  mcpFile: '/home/agent/.bottle/mcp.json',
  /** Variables that are in nobody's environment but the agent's own processes', as shell text; and what runs a command with them. */
  privateEnvFile: '/home/agent/.bottle/env.sh',
  withEnvFile: '/home/agent/.bottle/with-env',
  /** What the agent is told first; gone once it was. */
  messageFile: '/home/agent/.bottle/message.md',
  /** Debian's store as one file: every CA, that of the bottle included where it has one. */
  caBundle: '/etc/ssl/certs/ca-certificates.crt',
} as const;

export interface Resources {
  cpus: number;
  memoryMiB: number;
  pids: number;
}

/** Where the value of a variable comes from that neither a plan nor `docker inspect` may show. */
export type PrivateVariable = { from: 'host'; variable: string } | { from: 'operator'; question: string };

export interface Plan {
  agent: string;
  driver: Driver;
  /** How the machine reaches its bundle. Histories from before there was a choice have none: by its address. */
  link?: Link | undefined;
  /** Files the plan was made from, on the host; of the bottles, those that are extended first. */
  sources: { agent: string; bottles: string[] };
  /**
   * Image tags: ours, which `bottle image build` makes, or for the guest one of the person's own, or with driver smolvm
   * their packed machine as smolmachine.ts writes it.
   */
  images: { guest: string; bundle: string };
  /**
   * Which image of ours the machine is made from, or its Dockerfile begins with; null for another. Histories from before
   * there was a choice have none.
   */
  stock?: StockImage | null | undefined;
  /** The Dockerfile that `images.guest` is made from, on the host, and the digest of its context; null where it is not the person's own. */
  dockerfile: { file: string; digest: string } | null;
  /** CIDR out of which the bottle's /28 is taken. */
  pool: string;
  /** Docker network that is the bundle's way out. */
  uplink: string;
  /** Whether the machine finds egress by its name (front.ts). Histories from before it did have none. */
  front?: true | undefined;
  /** In the bundle, by what their plans need. */
  daemons: DaemonName[];
  /** What scans and allow-lists: pipelock itself where the bundle's image holds it. */
  scanner: Scanner;
  /** What each daemon is for. Secrets are references. */
  bundle: BundlePlans;
  /** Whose program the agent is, and how it proves itself to its model: by a placeholder that egress replaces, if at all. */
  provider: { template: Template; credential: Credential | null };
  /** What the agent file asks of the agent's program. Histories from before it was delivered have none. */
  agentSettings?: AgentSettings | undefined;
  git: { user: { name?: string; email?: string } };
  /** Literal values only. */
  env: Record<string, string>;
  privateEnv: Record<string, PrivateVariable>;
  resources: Resources;
  /** When the bottle is stopped by itself; null for never. */
  limits: { lifetimeMs: number | null; idleMs: number | null };
  /** The text itself is kept in the state directory; its digest tells whether it has changed. */
  prompt: { empty: boolean; digest: string };
  /** What the agent is told first; null for nothing. */
  message: string | null;
  /** The person's folder that is copied into the workspace; null for none. */
  workspace: { folder: string; gitignore: boolean } | null;
  skills: string[];
  /** Changes with whatever is in the skills' folders on the host. */
  skillsDigest: string;
  guest: { skillsDirectory: string };
}
