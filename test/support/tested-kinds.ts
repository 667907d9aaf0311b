/** The kinds of images that a run of the tests has need of; undefined: of all. Another Engine gets no more than it is tested with. */
import type { ImageKind } from '../../src/host/image-tags.ts';

export const TESTED_KINDS = 'BOTTLE_TEST_IMAGE_KINDS';

export function testedKinds(env: NodeJS.ProcessEnv = process.env): ImageKind[] | undefined {
  const kinds = env[TESTED_KINDS];
  return kinds ? (kinds.split(',') as ImageKind[]) : undefined;
}
