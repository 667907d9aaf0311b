// The images: base, guest, codex and bundle, under tags that say what they were made from (src/host/image-tags.ts).
import { askEngine } from './docker-engine.mjs';
import { node24Path } from './places.mjs';
import { run } from './processes.mjs';

export const images = {
  name: 'images',
  look: async () => {
    const { imageTags } = await import('../../dist/host/image-tags.js');
    const wanted = Object.values(await imageTags());
    const { images: present = [] } = await askEngine();
    return wanted.every((tag) => present.includes(tag)) ? wanted.map(shortName).join(', ') : undefined;
  },
  plan: 'what is missing of base, guest, codex and bundle; all of them take about a minute',
  provide: async (say) => void (await run(node24Path, ['scripts/images.mjs'], { onLine: say })),
};

const shortName = (tag) => tag.replace('bottleworks/', '');
