/** Every agent that bottle can start unattended. Adding one: a module beside claude.ts, a line here, its program in an image. */
import { claude } from './claude.ts';
import { codex } from './codex.ts';
import type { AgentProvider, Template } from './provider.ts';

export const PROVIDERS: Readonly<Record<Template, AgentProvider>> = { claude, codex };
