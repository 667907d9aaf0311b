import { describe, expect, test } from 'vitest';
import { statusText } from '../../../src/client/render/status-text.ts';
import { detailsMarkdown } from '../../../src/core/launch-view.ts';
import { Observation } from '../../../src/core/observation.ts';
import type { ProcessLimitMet } from '../../../src/core/process-limit.ts';
import type { StatusDocument } from '../../../src/core/status.ts';
import type { WatchNews } from '../../../src/core/step-io.ts';
import { isNews, refusalFileOf } from '../../../src/host/process-limit.ts';

const ID = 'dce70b7c434b730618f089e532265a612a58a8aa9af0922c4cf3bc94c5d7cea0';
const at = '2026-01-01T00:00:02.000Z';

describe('where the kernel counts what it refused to a container', () => {
  test.each([
    ['cgroups v1', `9:name=systemd:/docker/${ID}\n8:pids:/docker/${ID}\n0::/docker/${ID}\n`, `pids/docker/${ID}`],
    ['v1, with another controller', `8:rdma,pids:/docker/${ID}\n`, `pids/docker/${ID}`],
    ['v2 and systemd', `0::/system.slice/docker-${ID}.scope\n`, `system.slice/docker-${ID}.scope`],
  ])('%s', (_name, cgroups, group) => {
    expect(refusalFileOf(cgroups, ID)).toBe(`/sys/fs/cgroup/${group}/pids.events`);
  });

  test.each([
    ["another's process of the same number", '8:pids:/docker/ffff\n0::/\n'],
    ['a group within that of the limit', `0::/machine.slice/libpod-${ID}.scope/container\n`],
    ['nothing', ''],
  ])('is not told by %s', (_name, cgroups) => {
    expect(refusalFileOf(cgroups, ID)).toBeUndefined();
  });
});

test('news is another count than the one told of, or a machine that is full and was not counted', () => {
  expect(isNews({ at, refusals: 3 }, undefined)).toBe(true);
  expect(isNews({ at, refusals: 3 }, { at, refusals: 3 })).toBe(false);
  expect(isNews({ at, refusals: 4 }, { at, refusals: 3 })).toBe(true);
  // Started again since.
  expect(isNews({ at, refusals: 1 }, { at, refusals: 3 })).toBe(true);
  expect(isNews({ at }, { at })).toBe(true);
});

test('a launch remembers it, and asks from there on', () => {
  const observed = new Observation();
  const news = (more: { outOfPids?: ProcessLimitMet }): WatchNews => ({
    ...{ steps: [], daemons: null, asked: [], refused: [], cursor: null },
    ...more,
  });
  observed.take(news({}));
  expect(observed.watchFrom()).toEqual({ daemons: {}, cursor: null });
  observed.take(news({ outOfPids: { at, refusals: 3 } }));
  observed.take(news({}));
  expect(observed.watchFrom().outOfPids).toEqual({ at, refusals: 3 });
});

test('status and the details in the Temporal UI say when, and which limit', () => {
  const status: StatusDocument = {
    ...{ id: 'demo', agent: 'demo', phase: 'ready', host: 'h', driver: 'docker', runId: 'r', uiUrl: null },
    ...{ startedAt: at, readyAt: null, stoppedBy: null, network: null, bundle: null, machine: null },
    ...{ steps: [], requests: [], outOfPids: { at, refusals: 3, limit: 64 } },
  };
  const said = `the machine had as many processes as it may, 3 refused, noticed last at ${at}: the limit of 64 (resources.pids)`;
  expect(statusText(status, { now: 0 })).toContain(said);
  expect(detailsMarkdown(status)).toContain(said);
});
