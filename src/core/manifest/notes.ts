/** What is read for the sake of older files, but not followed to the letter: said, so that nobody relies on it. */
import type { BottleManifest } from './bottle-schema.ts';

/** Key path and what to know of it. */
export function notesOn(bottle: BottleManifest): { path: PropertyKey[]; message: string }[] {
  const routes = bottle.egress?.routes ?? [];
  return [
    ...routes.flatMap(({ dlp, pipelock }, at) => {
      const path = ['egress', 'routes', at];
      const ranges = pipelock?.ssrf_ip_allowlist ?? [];
      return [
        ...(dlp === undefined ? [] : [{ path: [...path, 'dlp'], message: DLP }]),
        ...(pipelock?.tls_passthrough === undefined
          ? []
          : [{ path: [...path, 'pipelock', 'tls_passthrough'], message: PASSTHROUGH }]),
        ...(ranges.length === 0 ? [] : [{ path: [...path, 'pipelock', 'ssrf_ip_allowlist'], message: RANGES }]),
      ];
    }),
    ...(bottle.egress?.log === undefined ? [] : [{ path: ['egress', 'log'], message: LOG }]),
  ];
}

const DLP = 'read, not followed: what goes out is scanned by the same rules for every route, and what comes in is not';
const PASSTHROUGH = 'read, not needed: pipelock sees a request before its credential is put in';
const RANGES = 'read as private: true, which is any private address';
const LOG = 'read, not followed: every request is logged (method, host, path, status), never a header';
