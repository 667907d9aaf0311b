/** What the activities of one worker share. */
import type { DockerHost } from '../host/docker.ts';
import type { Settings } from '../host/settings.ts';

export interface ActivityHost extends DockerHost {
  readonly settings: Settings;
  /** Aborts when the worker is about to stop: what only waits gives way at once. */
  readonly stopping: AbortSignal;
  /** A bottle's page in the Temporal UI; null when nothing says where the UI is. */
  uiUrl(id: string, runId: string): string | null;
}
