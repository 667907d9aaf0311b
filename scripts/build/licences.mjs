// The licences of every package whose code stands in the build, as their owners ask for: one file, each text once.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const LICENCE = /^(licen[cs]e|copying|notice)(\.|-|$)/i;

/** The folder of the package that a file is in, relative to the checkout. */
const PACKAGE = /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+/;

/**
 * @param {string} root the checkout
 * @param {Iterable<string>} inputs every file that went in, relative to `root`
 */
export async function thirdParty(root, inputs) {
  const folders = [...new Set([...inputs].flatMap((file) => PACKAGE.exec(file)?.[0] ?? []))].sort();
  const packages = await Promise.all(folders.map((folder) => describe(join(root, folder))));
  const byText = new Map();
  for (const { name, text } of packages) byText.set(text, [...(byText.get(text) ?? []), name]);
  const parts = [...byText].map(([text, names]) => `${[...new Set(names)].join('\n')}\n\n${text}\n`);
  return ['This software contains the following packages.\n', ...parts].join(`\n${'-'.repeat(80)}\n\n`);
}

async function describe(folder) {
  const { name, version, license, author } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const files = (await readdir(folder)).filter((file) => LICENCE.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  const by = typeof author === 'string' ? author : author?.name;
  const text = texts.length > 0 ? texts.join('\n').trim() : `Licence: ${license}${by ? `, by ${by}` : ''}`;
  return { name: `${name} ${version}`, text: text.replaceAll('\r\n', '\n') };
}
