// Running other programs: quietly while something is provided, and in this process's place at the end.
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { constants as system } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { binaries, root } from './places.mjs';
import { Refusal } from './refusal.mjs';

/** A failed program's first lines often hold the reason (npm), or its last ones (apt, go). */
const SHOWN = { first: 12, last: 12 };

/**
 * Runs a program to its end, its output kept back; shows the output's first and last lines when it fails.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{cwd?: string, env?: object, onLine?: (line: string) => void}} [options] onLine: shown as it comes instead
 * @returns {Promise<string>} what it printed
 */
export function run(command, args, { cwd = root, env = {}, onLine } = {}) {
  return new Promise((resolve, reject) => {
    const lines = [];
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const stopForwarding = endWith(child);
    createInterface({ input: child.stdout }).on('line', (line) => (onLine ? onLine(line) : lines.push(line)));
    createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
    child.on('error', (error) => {
      stopForwarding();
      reject(new Refusal(`${command} cannot be run: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      stopForwarding();
      if (code === 0) return resolve(lines.join('\n'));
      process.stderr.write(
        excerpt(lines)
          .map((line) => `  ${line}\n`)
          .join(''),
      );
      reject(new Refusal(`${command} ${args.join(' ')} ended with ${signal ?? code}`, 'what it said stands above'));
    });
  });
}

function excerpt(lines) {
  const { first, last } = SHOWN;
  return lines.length <= first + last ? lines : [...lines.slice(0, first), '...', ...lines.slice(-last)];
}

/** Ends this process together with a child it waits for, so that nothing goes on behind the user's back. */
function endWith(child) {
  const end = (signal) => {
    child.kill(signal);
    process.exit(128 + system.signals[signal]);
  };
  process.on('SIGINT', end).on('SIGTERM', end);
  return () => process.off('SIGINT', end).off('SIGTERM', end);
}

/** Where PATH has a program, or undefined. Our own node_modules/.bin, which npm puts first, counts like any other. */
export async function which(program) {
  for (const folder of (process.env.PATH ?? '').split(delimiter).filter((part) => part.startsWith('/'))) {
    const path = join(folder, program);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** Runs a command with Node 24 first on its PATH and this process's own input and output, and ends as it ends. */
export function runInstead([command, ...args]) {
  const child = spawn(command, args, {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH ?? ''}` },
  });
  // A terminal sends Ctrl-C to both; passed on as well, it would be a second one, which many programs take as "at once".
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'));
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('error', (error) => {
    process.stderr.write(`error[TOOL_MISSING]: ${command} cannot be run: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + system.signals[signal]));
}
