import { expect, test } from 'vitest';
import { environment } from '../../../src/client/commands/exec.ts';
import { separateCommand } from '../../../src/client/exec-arguments.ts';

const OPTIONS = [
  { short: '-i', long: '--interactive', required: false },
  { short: '-t', long: '--tty', required: false },
  { long: '--user', required: true },
  { short: '-e', long: '--env', required: true },
];

test.each([
  ['demo ls -la', 'demo -- ls -la'],
  ['demo -it bash -l', 'demo -it -- bash -l'],
  ['-i demo cat -', '-i demo -- cat -'],
  ['--user root demo id', '--user root demo -- id'],
  ['demo --user=root id -u', 'demo --user=root -- id -u'],
  ['demo -e A=b env -i', 'demo -e A=b -- env -i'],
  ['demo -eA=b env', 'demo -eA=b -- env'],
  ['demo -ite A=b sh -c x', 'demo -ite A=b -- sh -c x'],
  ['demo -- ls --json', 'demo -- ls --json'],
  ['demo --json -- -e', 'demo --json -- -e'],
  ['demo', 'demo'],
])('exec %s is exec %s', (given, meant) => {
  expect(separateCommand(given.split(' '), OPTIONS)).toEqual(meant.split(' '));
});

test('environment pairs are split at the first equals sign, and a refusal repeats no value', () => {
  expect(environment(['A=b=c', 'EMPTY='])).toEqual({ A: 'b=c', EMPTY: '' });
  expect(() => environment(['hunter2'])).toThrow(/^-e expects NAME=VALUE$/);
  expect(() => environment(['=x'])).toThrow('NAME=VALUE');
});
