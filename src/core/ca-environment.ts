/** What tells the programs of a machine to trust the bottle's own CA, which reads their HTTPS on its way out. */
import { GUEST } from './plan.ts';

/** The certificate in the machine, where Debian's `update-ca-certificates` looks for what a host adds to its store. */
export const CA_FILE = '/usr/local/share/ca-certificates/bottle.crt';

/**
 * Variables for every process of a machine with that CA in its store. Most programs of Debian's own ask the store
 * anyway; these are read by those that bring a list of their own, or are built to look elsewhere.
 */
export function caEnvironment(): Record<string, string> {
  return {
    // These two add to what they know; the others take just this file, so it has to be the whole store.
    NODE_EXTRA_CA_CERTS: CA_FILE, // Node, and with it npm, pnpm and yarn; Bun and so Claude Code; Electron
    DENO_CERT: CA_FILE, // Deno
    SSL_CERT_FILE: GUEST.caBundle, // OpenSSL wherever it was built, Go, Python's ssl and httpx, Ruby, rustls (uv)
    CURL_CA_BUNDLE: GUEST.caBundle, // curl from elsewhere; Python's requests
    GIT_SSL_CAINFO: GUEST.caBundle, // git from elsewhere
    REQUESTS_CA_BUNDLE: GUEST.caBundle, // Python's requests, which has certifi's list
    PIP_CERT: GUEST.caBundle, // pip, likewise
    AWS_CA_BUNDLE: GUEST.caBundle, // the AWS CLI and botocore, likewise
    CARGO_HTTP_CAINFO: GUEST.caBundle, // cargo as rustup installs it
    CODEX_CA_CERTIFICATE: GUEST.caBundle, // Codex, before SSL_CERT_FILE
  };
}
