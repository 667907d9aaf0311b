/** What the activities of one worker share. */
import type { DockerHost } from '../host/docker.ts';
import type { Settings } from '../host/settings.ts';
import type { OwnerServer } from '../host/state-owner.ts';

export interface ActivityHost extends DockerHost {
  readonly settings: Settings;
  /** Where the launches of this owner are known. */
  readonly server: OwnerServer;
  /** Aborts when the worker is about to stop: what only waits gives way at once. */
  readonly stopping: AbortSignal;
  /** A bottle's page in the Temporal UI; null when nothing says where the UI is. */
  uiUrl(id: string, runId: string): string | null;
}
