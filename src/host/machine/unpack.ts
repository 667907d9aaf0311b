/** Has an archive unpacked in a machine, by a command that reads it from its standard input. */
import { type Readable, Writable } from 'node:stream';
import { BottleError } from '../../core/errors.ts';
import type { ExecRequest, MachineDriver } from './driver.ts';

export interface UnpackRequest extends Pick<ExecRequest, 'argv' | 'user' | 'signal'> {
  stdin: Readable;
}

/** @throws BottleError `PROVISION_FAILED` with what the machine said; what the driver's `exec` throws */
export async function unpack(machine: Pick<MachineDriver, 'exec'>, id: string, request: UnpackRequest): Promise<void> {
  const said = new FirstWords();
  // Never in a directory that the archive may replace.
  const { exitCode } = await machine.exec(id, { ...request, workdir: '/', stdout: said, stderr: said });
  if (exitCode !== 0)
    throw new BottleError('PROVISION_FAILED', `unpacking in the machine ended with ${exitCode}: ${said.text}`);
}

/** One line a file may be wrong: what is said first is enough. */
class FirstWords extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.text.length < 1000) this.text += chunk;
    done();
  }
}
