/** A machine that has had as many processes as it may: `resources.pids`. */

export interface ProcessLimitMet {
  /** When it was noticed last; ISO 8601. */
  at: string;
  /** How often the kernel has refused a process since the machine's start; absent where only the Engine can be asked. */
  refusals?: number;
}

/** What a person is told; of when, where that is known. */
export function processLimitText({ at, refusals }: Partial<ProcessLimitMet>, limit: number | undefined): string {
  const when = at === undefined ? '' : `, noticed last at ${at}`;
  const times = refusals === undefined ? '' : `, ${refusals} refused`;
  const most = limit === undefined ? '' : ` of ${limit}`;
  return `the machine had as many processes as it may${times}${when}: the limit${most} (resources.pids)`;
}
