/** Whoever reads our output may leave early (`bottle ls | head`); that is no error. */
import process from 'node:process';

let leave: () => void = () => process.exit();

/** Listens for readers that left; from then on a broken pipe ends the process quietly. */
export function endQuietlyOnBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      leave();
    });
  }
}

/** Does `act` instead when a reader leaves, as long as something else has to be ended first; gives the way back. */
export function onBrokenPipe(act: () => void): () => void {
  const before = leave;
  leave = act;
  return () => {
    leave = before;
  };
}
