/** What a launch would be, before it is one: the merged manifest, where each value came from, and the plan. */
import os from 'node:os';
import { allowances } from '../../core/allowances.ts';
import { merged } from '../../core/manifest/merge.ts';
import { problemText } from '../../core/manifest/problems.ts';
import type { Planned } from '../../host/planning.ts';
import { lineageText, manifestText, originTexts } from './manifest-text.ts';
import { planText } from './plan-text.ts';
import { clean } from './text.ts';

/** The plan, and beside its keys `manifest`, `origins` (key path to file and line), `allows` (by daemon) and `notes`. */
export function plannedDocument({ plan, manifest }: Planned): object {
  return {
    ...plan,
    manifest: merged(manifest.layer),
    origins: originTexts(manifest),
    allows: allowances(plan),
    notes: manifest.notes.map(problemText),
  };
}

export function plannedText({ plan, manifest }: Planned): string {
  const merged = manifestText(manifest, homeShortened);
  const lines = [
    `# the merged manifest (bottles: ${lineageText(manifest)}), with the place of each value`,
    ...(merged === '{}' ? ['# nothing: all is as it is by default'] : merged.split('\n')),
    '',
    '# the plan',
    ...planText(plan).split('\n'),
    ...manifest.notes.map((note) => `note: ${problemText(note)}`),
  ];
  return lines.map(clean).join('\n');
}

const homeShortened = (file: string): string =>
  file.startsWith(`${os.homedir()}/`) ? `~${file.slice(os.homedir().length)}` : file;
