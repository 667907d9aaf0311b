#!/usr/bin/env node
/**
 * Entry of the `bottle` command. It imports nothing statically, and runs on any Node from 20 on: one that is too old for
 * the rest starts a newer one in its place.
 */
import process from 'node:process';

const NEEDED = 24;

if (Number(process.versions.node.split('.')[0]) >= NEEDED) {
  const { keepCompiledCode } = await import('./compiled-code.ts');
  keepCompiledCode();
  const { main } = await import('./run.ts');
  await main(process.argv.slice(2));
} else {
  const { runOnNewerNode } = await import('./newer-node.ts');
  await runOnNewerNode(NEEDED);
}
