// What a person sees: one line for a thing that is there; two for one that had to be provided, and signs of life between.
const SIGN_OF_LIFE = { terminal: 1000, log: 30_000 };

/** @param {boolean} quiet leave out what was there already */
export function reporter(quiet) {
  return {
    say: (line) => write('wait', line),
    found: (name, what, ms) => quiet || write('ok', `${name}: ${what}   ${duration(ms)}`),
    begin: (name, plan) => {
      write('install', `${name}: ${plan}`);
      const life = signsOfLife(name);
      return {
        say: (line) => life.between(() => write('', line)),
        done: (what, ms) => life.between(() => write('ok', `${name}: ${what}   ${duration(ms)}`)),
        stop: life.stop,
      };
    },
  };
}

/** On a terminal one line that counts the seconds; in a log a line now and then. */
function signsOfLife(name) {
  const { isTTY } = process.stderr;
  const start = Date.now();
  const show = () => {
    const seconds = `${name}: ${Math.round((Date.now() - start) / 1000)} s`;
    if (isTTY) process.stderr.write(`\r\x1b[K${label('...')}${seconds}`);
    else write('...', seconds);
  };
  const timer = setInterval(show, isTTY ? SIGN_OF_LIFE.terminal : SIGN_OF_LIFE.log);
  const clear = () => isTTY && process.stderr.write('\r\x1b[K');
  return {
    between: (act) => {
      clear();
      act();
    },
    stop: () => {
      clearInterval(timer);
      clear();
    },
  };
}

const label = (word) => word.padEnd(8);
const write = (word, line) => process.stderr.write(`${label(word)}${line}\n`);
const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
