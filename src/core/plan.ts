/** The plan: a manifest resolved for one host. Pure data, no secrets; what every later step is cut from. */
import type { DaemonName } from './daemons.ts';
import type { Driver } from './status.ts';

/** Where things are inside every machine, whatever its driver; the guest image is built to match. */
export const GUEST = {
  user: 'agent',
  uid: 1000,
  home: '/home/agent',
  workspace: '/home/agent/workspace',
  promptFile: '/home/agent/.bottle/prompt.md',
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
  daemons: DaemonName[];
  /** Hosts the machine may reach through the bundle, as entries of allow-list.ts. */
  allow: string[];
  /** Literal values only. */
  env: Record<string, string>;
  resources: Resources;
  prompt: { empty: boolean };
  skills: string[];
  guest: { skillsDirectory: string };
}
