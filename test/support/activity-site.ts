/** The real activities over a {@link DockerSite}, run as a worker would: in an activity's context. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Info } from '@temporalio/activity';
import type { ActivityFunction } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createActivities, type StepFunctions } from '../../src/activities/index.ts';
import type { BottleRef, NetworkFacts } from '../../src/core/step-io.ts';
import { type BundleChange, type DockerSite, dockerSite, plansOf } from './docker-site.ts';

export interface ActivitySite extends DockerSite {
  /** Runs one activity as its first attempt; its value. */
  step<Name extends keyof StepFunctions>(
    name: Name,
    input: Parameters<StepFunctions[Name]>[0],
    environment?: MockActivityEnvironment,
  ): Promise<Awaited<ReturnType<StepFunctions[Name]>>>;
  /** Writes a file below BOTTLE_HOME. */
  write(file: string, text: string | Buffer, mode?: number): string;
  /** A bottle up to and without what is provisioned and its check. */
  ready(prefix?: string, change?: BundleChange): Promise<{ bottle: BottleRef; network: NetworkFacts }>;
}

/** An activity's context; what fails is the test's to look at, not the log's. */
export const activityEnvironment = (info: Partial<Info> = {}): MockActivityEnvironment =>
  new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR') });

export async function activitySite(): Promise<ActivitySite> {
  const docker = await dockerSite();
  const activities = createActivities({
    docker: docker.docker,
    owner: docker.owner,
    settings: docker.settings,
    server: { kind: 'embedded', address: '127.0.0.1:7233' },
    stopping: new AbortController().signal,
    uiUrl: (id, runId) => `http://ui.test/${id}/${runId}`,
  });
  const site: ActivitySite = {
    ...docker,
    step: async (name, input, environment = activityEnvironment()) => {
      const { value } = (await environment.run(activities[name] as ActivityFunction, input)) as { value: never };
      return value;
    },
    write: (file, text, mode = 0o644) => {
      const target = path.join(docker.settings.home, file);
      mkdirSync(path.dirname(target), { recursive: true });
      writeFileSync(target, text);
      chmodSync(target, mode);
      return target;
    },
    ready: async (prefix, change) => {
      const home = await docker.machine(prefix, plansOf(change?.plans));
      await site.step('bundle', docker.bundleInput(home.bottle, home.network, change));
      return home;
    },
  };
  return site;
}
