/** What a manifest asks of the operator (`env: {TOKEN: "?your token"}`): on the terminal, unseen; without one, in our own environment. */
import process from 'node:process';
import { BottleError } from '../core/errors.ts';
import type { Plan } from '../core/plan.ts';
import type { Answers } from '../host/bottle-state.ts';
import { clean } from './render/text.ts';

/**
 * Answers to those questions of a plan that have none yet.
 * @throws BottleError `ENV_MISSING` where there is no terminal and no variable of that name
 */
export async function askOperator(
  { privateEnv }: Pick<Plan, 'privateEnv'>,
  known: Answers = {},
  { env = process.env, terminal = hasTerminal(), ask = askUnseen }: Partial<Operator> = {},
): Promise<Answers> {
  const asked = Object.entries(privateEnv).flatMap(([name, source]) =>
    source.from === 'operator' && !known[name] ? [{ name, question: source.question }] : [],
  );
  if (asked.length === 0) return {};
  const answers: Answers = {};
  const missing: string[] = [];
  for (const { name, question } of asked) {
    // A person who is there is asked: a variable that happens to have that name would go into the machine unseen.
    const answer = terminal ? await ask(name, question) : env[name];
    if (answer) answers[name] = answer;
    else missing.push(name);
  }
  if (missing.length === 0) return answers;
  throw new BottleError(
    'ENV_MISSING',
    `the manifest asks for ${missing.join(', ')}, and there is no terminal to ask on`,
    {
      hint: `set ${missing.length === 1 ? 'a variable of that name' : 'variables of these names'} for this command`,
    },
  );
}

/** Who is asked, and how. */
export interface Operator {
  env: NodeJS.ProcessEnv;
  terminal: boolean;
  ask(name: string, question: string): Promise<string>;
}

const hasTerminal = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true;

async function askUnseen(name: string, question: string): Promise<string> {
  const { default: password } = await import('@inquirer/password');
  const validate = (value: string): true | string => value !== '' || 'an answer is needed';
  const message = question === name ? name : `${name}: ${clean(question)}`;
  try {
    return await password({ message, mask: true, validate }, { output: process.stderr });
  } catch (error) {
    // Ctrl-C: nothing has been started yet.
    throw new BottleError('ENV_MISSING', `${name} was not answered`, { cause: error });
  }
}
