/** How machines outside Docker reach their bundles on this host, where nobody has said how. */
import process from 'node:process';
import type { Link } from '../core/machine-link.ts';
import { canonicalAddress, dockerEndpoint } from './docker-endpoint.ts';

/** The sockets of an Engine whose bridges are this host's own. */
const LOCAL = ['/var/run/docker.sock', '/run/docker.sock'].map((socket) => `unix://${socket}`);

/**
 * The addresses of bundles can be dialled from the host only where the Engine runs on it, as root: not on a Mac, where it
 * has a Linux of its own; nor without root, in Docker Desktop, or on another computer (docker/for-mac#155).
 */
export function defaultLink(platform: NodeJS.Platform = process.platform, env: NodeJS.ProcessEnv = process.env): Link {
  if (platform !== 'linux') return 'sockets';
  // What stands at the system's socket may be a link to another's, such as Docker Desktop's.
  return LOCAL.includes(canonicalAddress(dockerEndpoint(env).address)) ? 'address' : 'sockets';
}
