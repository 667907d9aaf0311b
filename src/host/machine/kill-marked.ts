/** Ends a command in a machine and everything it started. No driver can kill what it has once begun to run in there. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/** Marks a command and all it starts, so that they can be found again. */
const MARK = 'BOTTLE_EXEC';
const KILL_MS = 10_000;
const POLL_MS = 20;

/** `NAME=VALUE` for the environment of one command; no other has the same. */
export const newMark = (): string => `${MARK}=${randomUUID()}`;

/** The command that kills what carries that mark; to be run as the user of the marked one. */
export const killMarkedArgv = (mark: string): string[] => ['sh', '-c', KILL_MARKED, 'sh', mark];

/**
 * Kills until the command has ended, for 10 s at the most. The order to run it may still be on its way: a mark that
 * nobody carries yet is looked for again.
 * @param kill runs {@link killMarkedArgv} in the machine
 */
export async function killUntilEnded(
  kill: () => Promise<unknown>,
  hasEnded: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = Date.now() + KILL_MS;
  do {
    await kill();
    if (await hasEnded()) return;
    await sleep(POLL_MS);
  } while (Date.now() < end);
}

/**
 * Shell program, `sh -c KILL_MARKED sh NAME=VALUE`: ends every process that has `NAME=VALUE` in its environment,
 * what descends from those, and what shares a session with them; SIGTERM first, SIGKILL half a second later.
 * Returns when they are gone. Nothing but sh, grep and sleep, since it runs inside a machine.
 */
const KILL_MARKED = `
mark=$1 found=' '
family() {
  for file in $(grep -lzxF -e "$mark" /proc/[0-9]*/environ 2>/dev/null); do
    pid=\${file#/proc/}; add "\${pid%/environ}"
  done
  more=1
  while [ -n "$more" ]; do
    more=
    for file in /proc/[0-9]*/stat; do
      read -r line 2>/dev/null <"$file" || continue
      pid=\${line%% *}; set -- \${line##*) }
      case $found in *" $2 "*|*" $4 "*) add "$pid" ;; esac
    done
  done 2>/dev/null
}
add() { case $found in *" $1 "*) ;; *) found="$found$1 "; more=1 ;; esac; }
living() { for pid in $found; do kill -0 "$pid" 2>/dev/null && return 0; done; return 1; }
for signal in TERM KILL; do
  family
  kill -"$signal" $found 2>/dev/null
  for try in 1 2 3 4 5 6 7 8 9 10; do living || exit 0; sleep 0.05; done
done`;
