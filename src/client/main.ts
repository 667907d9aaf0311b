#!/usr/bin/env node
/**
 * Entry of the `bottle` command. It imports nothing statically, so that a Node too old for the rest
 * meets one clear line and not a syntax error.
 */
import process from 'node:process';

const NEEDED = 24;

if (Number(process.versions.node.split('.')[0]) < NEEDED) {
  const message = `bottle needs Node ${NEEDED} or newer, this is ${process.version}`;
  if (process.argv.includes('--json')) {
    process.stdout.write(`${JSON.stringify({ error: { code: 'TOOL_MISSING', message } })}\n`);
  } else {
    process.stderr.write(`error[TOOL_MISSING]: ${message}\n`);
  }
  process.exitCode = 1;
} else {
  const { main } = await import('./run.ts');
  await main(process.argv.slice(2));
}
