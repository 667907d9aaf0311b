/** What the host asks of a container at the way out, and what it hears: one line of JSON each. */
import type { UpstreamProxy } from './network-proxy.ts';

export interface ReachQuestion {
  host: string;
  port: number;
  /** PEM of CAs that the other end may have, beside the usual ones; null for none. */
  ca: string | null;
  proxy?: UpstreamProxy | undefined;
  /** Milliseconds that all of it may take. */
  timeoutMs: number;
}

export type Reached =
  | { reached: true }
  /** `certificate`: somebody answers, and shows a certificate of whom nobody has signed for. */
  | { reached: false; what: 'connection' | 'certificate'; why: string };
