// Builds the images that are missing: those of the kinds that it is given, else all.
// Run by bootstrap.mjs with Node 24 once dist/ is there; one line for each thing it does.
import { connectDocker, ensureImages, IMAGE_KINDS } from '../dist/tooling.js';

const chosen = process.argv.slice(2);

try {
  await ensureImages(connectDocker(), {
    report: (line) => console.log(line),
    kinds: chosen.length === 0 ? IMAGE_KINDS : chosen,
  });
} catch (error) {
  console.error(`error[${error.code ?? 'INTERNAL'}]: ${error.message}`);
  if (error.hint) console.error(`hint: ${error.hint}`);
  process.exitCode = 1;
}
