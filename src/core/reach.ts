/** What the host asks of a container at the way out, and what it hears: one line of JSON each. */
import type { UpstreamProxy } from './network-proxy.ts';

export interface ReachQuestion {
  host: string;
  port: number;
  /** PEM of CAs that the other end may have, beside the usual ones; null for none. */
  ca: string | null;
  /** Whether the name may lead to a private address. @default true */
  private?: boolean;
  proxy?: UpstreamProxy | undefined;
  /** Milliseconds that all of it may take. */
  timeoutMs: number;
}

export type Reached =
  | { reached: true }
  /** `certificate`: somebody answers, and shows a certificate of whom nobody has signed for. */
  | { reached: false; what: 'connection' | 'certificate'; why: string };

/** Who is not reached by the way out, and one line that says why. */
export interface WayOutProblem {
  host: string;
  why: string;
}

/** The machine holds more than is looked through for credentials. */
export interface Unsearched {
  /** Of all files that may be looked at. */
  bytes: number;
  /** Of those that were, the small ones first. */
  searchedBytes: number;
}

/** One line for people. */
export function unsearchedText({ bytes, searchedBytes }: Unsearched): string {
  const mib = (count: number): number => Math.ceil(count / 1024 ** 2);
  return `check has looked for credentials in ${mib(searchedBytes)} of ${mib(bytes)} MiB of the machine's files, the small ones first`;
}
