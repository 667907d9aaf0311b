/**
 * Shell program, `sh -c KILL_MARKED sh NAME=VALUE`: ends every process that has `NAME=VALUE` in its environment,
 * what descends from those, and what shares a session with them; SIGTERM first, SIGKILL half a second later.
 * Returns when they are gone. Nothing but sh, grep and sleep, since it runs inside a machine.
 */
export const KILL_MARKED = `
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
