/** What tells the programs of a machine to trust more than its image does: the bottle's own CA, and those of `network.ca`. */
import { GUEST } from './plan.ts';

/** Where Debian's `update-ca-certificates` looks for what a host adds to its store: one certificate a file. */
const ADDED = '/usr/local/share/ca-certificates';

/** The bottle's own CA in the machine, where its bundle reads HTTPS. */
export const CA_FILE = `${ADDED}/bottle.crt`;

/** Beginning of the names of those that `network.ca` holds. */
export const NETWORK_CA = `${ADDED}/bottle-network-`;

/** All of them in one file, for programs that add one file to what they know. */
export const ADDED_CAS = `${ADDED}/bottle.pem`;

/**
 * Variables for every process of a machine with such CAs in its store. Most programs of Debian's own ask the store
 * anyway; these are read by those that bring a list of their own, or are built to look elsewhere.
 */
export function caEnvironment(): Record<string, string> {
  return {
    // These two add to what they know; the others take just this file, so it has to be the whole store.
    NODE_EXTRA_CA_CERTS: ADDED_CAS, // Node, and with it npm, pnpm and yarn; Bun and so Claude Code; Electron
    DENO_CERT: ADDED_CAS, // Deno
    SSL_CERT_FILE: GUEST.caBundle, // OpenSSL wherever it was built, Go, Python's ssl and httpx, Ruby, rustls (uv)
    CURL_CA_BUNDLE: GUEST.caBundle, // curl from elsewhere; Python's requests
    GIT_SSL_CAINFO: GUEST.caBundle, // git from elsewhere
    REQUESTS_CA_BUNDLE: GUEST.caBundle, // Python's requests, which has certifi's list
    PIP_CERT: GUEST.caBundle, // pip, likewise
    AWS_CA_BUNDLE: GUEST.caBundle, // the AWS CLI and botocore, likewise
    CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE: GUEST.caBundle, // gcloud, likewise
    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: GUEST.caBundle, // gRPC's C core and what is built on it
    NIX_SSL_CERT_FILE: GUEST.caBundle, // programs that came by Nix
    CARGO_HTTP_CAINFO: GUEST.caBundle, // cargo as rustup installs it
    CODEX_CA_CERTIFICATE: GUEST.caBundle, // Codex, before SSL_CERT_FILE
  };
}
