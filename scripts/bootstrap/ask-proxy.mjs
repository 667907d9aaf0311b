// Prints the variables by which programs of this computer go out, as one JSON document: those of `network.proxy` in config.yaml,
// else this process's own. For the bootstrap, whose Node may be too old to read src: run with Node 24.
import { proxyEnvironment } from '../../src/host/host-proxy-environment.ts';

try {
  process.stdout.write(JSON.stringify({ variables: await proxyEnvironment() }));
} catch ({ code, message, hint }) {
  process.stdout.write(JSON.stringify({ error: { code, message, hint } }));
}
