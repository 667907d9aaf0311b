/** The plan: a manifest resolved for one host. Pure data, no secrets; what every later step is cut from. */
import type { BundlePlans, Scanner } from './bundle-plans.ts';
import type { DaemonName } from './daemons.ts';
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
  skillsDirectory: '/home/agent/.claude/skills',
} as const;

export interface Resources {
  cpus: number;
  memoryMiB: number;
  pids: number;
}

export interface Plan {
  agent: string;
  driver: Driver;
  /** Files the plan was made from, on the host. */
  sources: { agent: string; bottle: string | null };
  /** Image tags that `bottle image build` made. */
  images: { guest: string; bundle: string };
  /** CIDR out of which the bottle's /28 is taken. */
  pool: string;
  /** Docker network that is the bundle's way out. */
  uplink: string;
  /** In the bundle, by what their plans need. */
  daemons: DaemonName[];
  /** What scans and allow-lists: pipelock itself where the bundle's image holds it. */
  scanner: Scanner;
  /** What each daemon is for. Secrets are references. */
  bundle: BundlePlans;
  /** Whose program the agent is, and how it proves itself to its model: by a placeholder that egress replaces, if at all. */
  provider: { template: 'claude'; credential: 'auth_token' | 'api_key' | null };
  git: { user: { name?: string; email?: string } };
  /** Literal values only. */
  env: Record<string, string>;
  resources: Resources;
  prompt: { empty: boolean };
  skills: string[];
  guest: { skillsDirectory: string };
}
