/** What a manifest asks of the operator (`env: {TOKEN: "?your token"}`): on the terminal, unseen, else in our own environment. */
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
  env: NodeJS.ProcessEnv = process.env,
): Promise<Answers> {
  const asked = Object.entries(privateEnv).flatMap(([name, source]) =>
    source.from === 'operator' && !known[name] ? [{ name, question: source.question }] : [],
  );
  if (asked.length === 0) return {};
  const terminal = process.stdin.isTTY === true && process.stderr.isTTY === true;
  const answers: Answers = {};
  const missing: string[] = [];
  for (const { name, question } of asked) {
    const given = env[name];
    if (given) answers[name] = given;
    else if (terminal) answers[name] = await ask(name, question);
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

async function ask(name: string, question: string): Promise<string> {
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
