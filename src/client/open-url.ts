/** Opens a URL in the desktop's browser; quietly does nothing where there is none. */
import process from 'node:process';
import { execa } from 'execa';

export function openUrl(url: string): void {
  const program = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const opening = execa(program, [url], { detached: true, stdio: 'ignore', reject: false });
  opening.catch(() => undefined);
  opening.unref();
}
