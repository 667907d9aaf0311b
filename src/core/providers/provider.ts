/** What bottle has to know of a coding agent to start it unattended: one small module each, all pure. */
import type { RouteAuth } from '../bundle-plans.ts';
import type { SecretRef } from '../secret-ref.ts';
import type { AgentSettings } from './agent-settings.ts';

export type Template = 'claude' | 'codex';

/** How the person proves to the model's API who pays; the agent itself holds a placeholder. */
export type Credential = 'auth_token' | 'api_key';

/** What an agent's own configuration depends on. */
export interface ProviderContext {
  /** Base URL at which the agent finds its model, through egress; null: it talks to its model by itself. */
  modelUrl: string | null;
  /** What egress puts in the place of the agent's placeholder; null for nothing. */
  credential: Credential | null;
  /** MCP endpoint of the bottle's supervise daemon; null where there is none. */
  superviseUrl: string | null;
  /** Whether the agent file has a prompt; it lies in `GUEST.promptFile`. */
  promptEmpty: boolean;
  /** PEM bundle in the machine with the CA that reads the agent's traffic; null where none does. */
  caBundle: string | null;
  /** What the agent file asks of the program; absent for nothing. */
  settings?: AgentSettings;
}

/** A file of the agent's own, in the machine. */
export interface ProviderFile {
  /** Absolute path in the machine, in the agent's home. */
  path: string;
  /** Permission bits. */
  mode: number;
  text: string;
}

export interface AgentProvider {
  readonly template: Template;
  /** Id of the model's route in egress, the first segment of its address there. */
  readonly route: string;
  /** Where the model is when the manifest does not say: base URL, without a slash at its end. */
  readonly modelUrl: string;
  /** Hosts an agent that brings its own credential has to reach: its model, and where it logs in and renews that. */
  readonly hosts: readonly string[];
  /** How a person logs in to it by hand, in the machine. */
  readonly login: string;
  /** Absolute path in the machine of the folder its skills are in. */
  readonly skillsDirectory: string;
  /** How a credential is put on a request to the model. */
  auth(credential: Credential, secret: SecretRef): RouteAuth;
  /** Variables of every process of the machine that a manifest may set otherwise: quiet switches. */
  readonly defaults: Readonly<Record<string, string>>;
  /** Variables that nothing may set otherwise: the way to the model. No secrets. */
  environment(context: ProviderContext): Record<string, string>;
  /** The files without which it would ask something before it starts, directories not included. */
  files(context: ProviderContext): ProviderFile[];
  /**
   * Its command line; a first message can be added at its end.
   * @param args what a person adds
   */
  argv(context: Pick<ProviderContext, 'promptEmpty' | 'settings'>, args: readonly string[]): string[];
}
