/**
 * A `.smolmachine` as the image of a machine: which file, and what was in it when the plan was made, written like Docker's
 * `name@sha256:...`. So whoever compares two plans, or two machines, sees that another is meant.
 */

/** How every such file ends: smolvm adds it itself to the name that `pack create` is given. */
export const SMOLMACHINE = '.smolmachine';

export interface Smolmachine {
  /** Absolute path. */
  file: string;
  /** `sha256:` and 64 hex digits; absent where whatever is in it is meant. */
  digest?: string;
}

const IMAGE = /^(\/.*\.smolmachine)(?:@(sha256:[0-9a-f]{64}))?$/s;

/** As it stands in a plan. */
export const smolmachineImage = ({ file, digest }: Required<Smolmachine>): string => `${file}@${digest}`;

/** @returns undefined when the image is a tag on the Engine: no tag begins with a slash */
export function smolmachineOf(image: string): Smolmachine | undefined {
  const [, file, digest] = IMAGE.exec(image) ?? [];
  if (file === undefined) return undefined;
  return digest === undefined ? { file } : { file, digest };
}
