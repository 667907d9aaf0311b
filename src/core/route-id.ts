/** What the routes of egress are called: the first segment of their addresses, by which all about a route is found. */
import { exampleOf, parseAllowEntry } from './allow-list.ts';

const HTTPS_PORT = 443;

/**
 * The id of a route to `host`, the same however that is spelled: its canonical name, and the port unless it is 443.
 * @param host one host with an optional port, as an entry of allow-list.ts
 * @throws TypeError
 */
export function routeIdOf(host: string): string {
  const { host: name } = parseAllowEntry(host);
  return name + portSuffix(host);
}

/**
 * Where the route with that id leads.
 * @throws TypeError
 */
export function routeUpstream(host: string): string {
  return `https://${exampleOf(parseAllowEntry(host)).host}${portSuffix(host)}`;
}

function portSuffix(host: string): string {
  const { ports } = parseAllowEntry(host);
  const [port] = ports;
  // Several are the default ones: none was given.
  return ports.length > 1 || port === HTTPS_PORT ? '' : `:${port}`;
}
