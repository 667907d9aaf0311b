/** Writes README's table of what a person may write, from the schemas: `node scripts/readme.mjs`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { referenceTable } from '../src/core/manifest/reference.ts';

const file = new URL('../README.md', import.meta.url);
const text = readFileSync(file, 'utf8');
const table = `<!-- manifest -->\n${referenceTable().join('\n')}\n<!-- /manifest -->`;
writeFileSync(
  file,
  text.replace(/<!-- manifest -->[\s\S]*<!-- \/manifest -->/, () => table),
);
