/** A Dockerfile of the person's own on top of our guest image, built by the real Engine. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { contextDigest, customImageTag, ensureCustomImage } from '../../src/host/custom-image.ts';
import { imageTag } from '../../src/host/image-tags.ts';
import { type ActivitySite, activitySite } from '../support/activity-site.ts';
import { sh } from '../support/docker-site.ts';
import { runIn } from '../support/run-in-container.ts';

let site: ActivitySite;
const tags = new Set<string>();
beforeAll(async () => {
  site = await activitySite();
});
afterAll(async () => {
  for (const tag of tags)
    await site.docker
      .getImage(tag)
      .remove({ force: true })
      .catch(() => undefined);
  await site.dispose();
});

/** A package whose script makes a user. */
const PACKAGE = `set -e; mkdir -p /tmp/p/DEBIAN; cd /tmp
  printf 'Package: small\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: t <t@t.test>\\nDescription: t\\n' >p/DEBIAN/control
  printf '#!/bin/sh\\nset -e\\nuseradd --system small\\n' >p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst
  dpkg-deb --root-owner-group --build p small.deb >/dev/null; apt-get install --yes ./small.deb >/dev/null 2>&1; id -un small`;

/** With an entry point, which is none of a machine's business. Of this run alone: an image's name is made from this text, and another run removes its own. */
const DOCKERFILE = `# ${randomUUID()}\nARG BASE\nFROM \${BASE}\nUSER root\nCOPY mark /etc/mark\nENTRYPOINT ["echo"]\nUSER agent\n`;

async function built(): Promise<{ tag: string; said: string[] }> {
  const base = await imageTag('guest-full');
  const dockerfile = path.join(site.settings.home, 'images/mine/Dockerfile');
  const tag = customImageTag(await contextDigest(dockerfile), base);
  tags.add(tag);
  const said: string[] = [];
  await ensureCustomImage(site.docker, { dockerfile, tag, base }, { report: (line) => said.push(line) });
  return { tag, said };
}

describe("an image of the person's own", () => {
  test('is built once for each content of its folder, and then taken as it is', async () => {
    site.write('images/mine/Dockerfile', DOCKERFILE);
    site.write('images/mine/mark', 'one');
    const first = await built();
    expect(first.said).toHaveLength(1);
    expect(await built()).toEqual({ tag: first.tag, said: [] });
    site.write('images/mine/mark', 'two');
    const second = await built();
    expect(second.tag).not.toBe(first.tag);
    expect(second.said).toHaveLength(1);
    site.write('images/mine/mark', 'one');
    expect(await built()).toEqual({ tag: first.tag, said: [] });
  });

  test('is what the machine of its agent is made from', async () => {
    site.write('agents/demo.md', '---\nimage: {dockerfile: ../images/mine/Dockerfile}\n---\n');
    const { plan } = await site.step('prepare', { bottle: site.bottle(), agent: 'demo' });
    expect(tags).toContain(plan.images.guest);
    const bottle = site.bottle('custom');
    const network = await site.network(bottle);
    await site.driver.create(bottle, { ...site.machineSpec(network), image: plan.images.guest });
    await site.driver.start(bottle);
    const { stdout } = await runIn(
      { docker: site.docker },
      `bottle-${bottle.id}-machine`,
      ['cat', '/etc/mark'],
      'agent',
    );
    expect(stdout).toBe('one');
    const options = { user: 'root', administers: true, workdir: '/' };
    const { stdout: user } = await sh(site.driver, bottle.id, PACKAGE, options);
    expect(user).toBe('small\n');
  });

  test('whose build fails holds the launch with what the build said', async () => {
    site.write('images/mine/Dockerfile', `${DOCKERFILE}RUN echo broken on purpose && exit 7\n`);
    await expect(site.step('prepare', { bottle: site.bottle(), agent: 'demo' })).rejects.toMatchObject({
      type: 'IMAGE_BUILD_FAILED',
      nonRetryable: true,
      message: expect.stringContaining('7'),
    });
    rmSync(path.join(site.settings.home, 'images'), { recursive: true });
    await expect(site.step('prepare', { bottle: site.bottle(), agent: 'demo' })).rejects.toMatchObject({
      type: 'MANIFEST_INVALID',
      message: expect.stringContaining('there is no such Dockerfile'),
    });
  });
});
