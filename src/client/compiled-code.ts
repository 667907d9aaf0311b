/** Keeps V8's code of what the command loads: compiling it anew takes longer than most commands have to do. */
import { enableCompileCache } from 'node:module';
import path from 'node:path';
import { cacheOf } from '../host/node-program.ts';

/** Where nothing can be written, or NODE_DISABLE_COMPILE_CACHE is set, all is compiled as ever. */
export function keepCompiledCode(env: NodeJS.ProcessEnv = process.env): void {
  enableCompileCache(path.join(cacheOf(env), 'compiled'));
}
