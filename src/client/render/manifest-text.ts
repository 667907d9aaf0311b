/** A merged manifest as YAML, each value with the place it was written at. */
import { Document, isNode, isScalar } from 'yaml';
import { pathText } from '../../core/manifest/key-path.ts';
import { merged, originsOf, placeText } from '../../core/manifest/merge.ts';
import type { ResolvedManifest } from '../../host/manifest/library.ts';

/** @param shorten how a file is called */
export function manifestText(manifest: ResolvedManifest, shorten: (file: string) => string): string {
  const document = new Document(merged(manifest.layer));
  for (const { path, origin } of originsOf(manifest.layer)) {
    const node = document.getIn(path, true);
    const place = ` ${placeText({ ...origin, file: shorten(origin.file) })}`;
    // Behind a value of one line; above one of several.
    if (isScalar(node)) node.comment = place;
    else if (isNode(node)) node.commentBefore = place;
  }
  return document.toString({ lineWidth: 0 }).trimEnd();
}

/** Key path to `file:line`, for programs. */
export function originTexts(manifest: ResolvedManifest): Record<string, string> {
  return Object.fromEntries(originsOf(manifest.layer).map(({ path, origin }) => [pathText(path), placeText(origin)]));
}

/** `base -> team -> demo`: which bottle files it is made of, those that are extended first. */
export const lineageText = ({ bottles }: ResolvedManifest): string =>
  bottles.map(({ name }) => name).join(' -> ') || '-';
