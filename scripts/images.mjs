// Builds the images that are missing. Run by bootstrap.mjs with Node 24 once dist/ is there; one line for each thing it does.
import { connectDocker } from '../dist/host/docker.js';
import { ensureImages } from '../dist/host/images.js';

try {
  await ensureImages(connectDocker(), { report: (line) => console.log(line) });
} catch (error) {
  console.error(`error[${error.code ?? 'INTERNAL'}]: ${error.message}`);
  if (error.hint) console.error(`hint: ${error.hint}`);
  process.exitCode = 1;
}
