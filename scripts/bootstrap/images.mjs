// The images, under tags that say what they were made from (src/host/image-tags.ts).
import { askEngine } from './docker-engine.mjs';
import { node24Path } from './places.mjs';
import { run } from './processes.mjs';

/** @param kinds the images that are needed; all of them where none is named */
export const images = (kinds) => ({
  name: 'images',
  look: async () => {
    const { imageTag, IMAGE_KINDS } = await import('../../dist/tooling.js');
    const wanted = await Promise.all((kinds.length === 0 ? IMAGE_KINDS : kinds).map((kind) => imageTag(kind)));
    const { images: present = [] } = await askEngine();
    return wanted.every((tag) => present.includes(tag)) ? wanted.map(shortName).join(', ') : undefined;
  },
  plan: `what is missing of ${kinds.length === 0 ? 'all of them, some two minutes' : `${kinds.join(', ')}, half a minute`}`,
  provide: async (say) => void (await run(node24Path, ['scripts/images.mjs', ...kinds], { onLine: say })),
});

const shortName = (tag) => tag.replace('bottleworks/', '');
