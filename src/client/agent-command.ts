/** Command lines in a machine: the agent's own, and any with the variables that are in nobody's environment. */
import { trustsMore } from '../core/bundle-plans.ts';
import { caEnvironment } from '../core/ca-environment.ts';
import { GUEST, type Plan } from '../core/plan.ts';
import { PROVIDERS } from '../core/providers/providers.ts';

type PlanSlice = Pick<Plan, 'prompt' | 'provider' | 'privateEnv' | 'message' | 'agentSettings'>;

/** Arguments with which an agent prints its answer and ends: the first message is what it answers. */
const PRINTS = ['-p', '--print', 'exec', 'e'];

/** The agent with its prompt, when that is not empty, and once with its first message, when the person says nothing else. */
export function agentCommand(plan: PlanSlice, args: readonly string[]): string[] {
  const { agentSettings: settings = {} } = plan;
  const command = PROVIDERS[plan.provider.template].argv({ promptEmpty: plan.prompt.empty, settings }, args);
  const [first, ...others] = args;
  const isAsked = first === undefined || (others.length === 0 && PRINTS.includes(first));
  if (plan.message === null || !isAsked) return withPrivateEnv(plan, command);
  // One that begins with a dash would be taken for an option.
  const message = plan.message.replace(/^-/, ' -');
  return withPrivateEnv(plan, ['sh', '-c', TELL_ONCE, 'sh', GUEST.messageFile, message, ...command]);
}

/** Whether the agent was told is known in the machine, where a second terminal may be; also when the file is written again. */
const TELL_ONCE =
  'file=$1 message=$2; shift 2; [ ! -e "$file.told" ] && mv "$file" "$file.told" 2>/dev/null && exec "$@" "$message"; exec "$@"';

/** Variables for every command in the machine, whatever there was to trust when it was made. */
export function trustVariables({ bundle, env }: Pick<Plan, 'bundle' | 'env'>): Record<string, string> {
  return trustsMore(bundle) ? { ...caEnvironment(), ...env } : {};
}

/** A command with the variables that came from the host or the operator, where there are any. */
export function withPrivateEnv({ privateEnv }: Pick<Plan, 'privateEnv'>, argv: readonly string[]): string[] {
  return Object.keys(privateEnv).length === 0 ? [...argv] : [GUEST.withEnvFile, ...argv];
}
