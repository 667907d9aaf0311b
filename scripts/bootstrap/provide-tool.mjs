// Gets the tool of src/host/setup that is named, for the bootstrap: run with Node 24, since no older one can download by a proxy.
// Tells what it does over the IPC channel, {line} by {line}, and why it could not, {error}.
import { TOOL_THINGS } from '../../dist/tooling.js';

// Whoever waited for it is gone.
process.once('disconnect', () => process.exit(1));
try {
  await TOOL_THINGS.find(({ name }) => name === process.argv[2]).provide((line) => process.send({ line }));
} catch ({ message }) {
  await new Promise((sent) => process.send({ error: message }, sent));
}
process.exit();
