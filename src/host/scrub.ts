/** Takes every secret that this process has read out of what it is about to write, whatever form it comes in. */

/** Stands where a secret was. */
const MARK = '[secret]';
/** Shorter ones would take ordinary words out of every text. */
const SHORTEST = 4;
/** Of a secret with white space in it (a private key), a word from this length on is a secret by itself. */
const SHORTEST_WORD = 20;
/** Of a secret that was cut off with `…`, or by the text's end, what is left is known from this length on. */
const SHORTEST_REST = 8;
const MOST_SECRETS = 1000;
const HASHES = 1 << 16;

export interface Scrubber {
  /** Nothing shorter than 4 characters is remembered, and no white space. */
  remember(secret: string): void;
  /** The text with `[secret]` in every place of a remembered one, as it is or encoded; the longest where several fit. */
  scrub(text: string): string;
}

/** How a secret looks in a text. `edges` of base64: characters beside it that hold some bits of it too. */
export interface Form {
  text: string;
  edges?: { before: boolean; after: boolean };
}

/**
 * Every form is found by its first four characters: a table tells at once that nothing begins at a place, as is so
 * nearly everywhere, so the time depends on the text alone and not on how many secrets there are.
 * @param most how many secrets are remembered, the newest
 */
export function newScrubber(most = MOST_SECRETS): Scrubber {
  /** In the order in which they were remembered last. */
  const known = new Map<string, Form[]>();
  const begins = new Uint8Array(HASHES);
  let byBeginning = new Map<string, Form[]>();
  let complete = true;

  function remember(secret: string): void {
    if (secret.length < SHORTEST || secret.trim() === '') return;
    const forms = known.get(secret);
    known.delete(secret);
    known.set(secret, forms ?? formsOf(secret));
    if (known.size > most) known.delete(known.keys().next().value as string);
    if (forms === undefined) complete = false;
  }

  function index(): void {
    // What is scrubbed already stays as it is, even of a secret that is a part of the mark.
    const forms = [{ text: MARK }, ...[...known.values()].flat()].sort((a, b) => b.text.length - a.text.length);
    byBeginning = Map.groupBy(forms, ({ text }) => text.slice(0, SHORTEST));
    begins.fill(0);
    for (const beginning of byBeginning.keys()) begins[hashOf(beginning)] = 1;
    complete = true;
  }

  function scrub(text: string): string {
    if (known.size === 0) return text;
    if (!complete) index();
    let scrubbed = '';
    let settled = 0;
    let hash = 0;
    /** The secret that was found last; another one that begins in it makes it longer. */
    let from = 0;
    let to = 0;
    let cut = 0;
    for (let last = 0; last < text.length && to < text.length; last++) {
      hash = nextHash(hash, text.charCodeAt(last));
      if (begins[hash] === 0) continue;
      const at = last - SHORTEST + 1;
      if (at < 0) continue;
      if (cut <= last) cut = cutAfter(text, last);
      const found = longestAt({ text, at, cut }, byBeginning.get(text.slice(at, last + 1)) ?? []);
      if (found === undefined) continue;
      const begin = withBackslashes(text, found.from);
      if (begin >= to) {
        if (to > 0) scrubbed += text.slice(settled, from) + MARK;
        settled = to;
        from = begin;
      }
      to = Math.max(to, found.to);
    }
    return to === 0 ? text : scrubbed + text.slice(settled, from) + MARK + text.slice(to);
  }

  return { remember, scrub };
}

const ofThisProcess = newScrubber();

/** From now on {@link scrub} takes it out. Called with every secret that is read. */
export const rememberSecret: Scrubber['remember'] = ofThisProcess.remember;

/** For everything that leaves the process: what it logs, and what it reports of a failure. */
export const scrub: Scrubber['scrub'] = ofThisProcess.scrub;

/** Of the last four characters: each moves up four bits with every further one, and so drops out after four. */
const nextHash = (hash: number, code: number): number => ((hash << 4) ^ code) & (HASHES - 1);
const hashOf = (beginning: string): number =>
  [...Array(SHORTEST).keys()].reduce((hash, at) => nextHash(hash, beginning.charCodeAt(at)), 0);

interface Place {
  text: string;
  at: number;
  /** Where the text ends, or what was shortened to `…` in it. */
  cut: number;
}

function cutAfter(text: string, at: number): number {
  const found = text.indexOf('…', at);
  return found === -1 ? text.length : found;
}

/** @param forms those that begin with the four characters at the place, the longest first */
function longestAt(place: Place, forms: readonly Form[]): { from: number; to: number } | undefined {
  const { text, at } = place;
  for (const { text: form, edges } of forms) {
    const length = lengthAt(place, form);
    if (length === 0) continue;
    const end = at + length;
    if (edges === undefined) return { from: at, to: end };
    const after = edges.after && isBase64(text[end]) ? end + 1 : end;
    return { from: edges.before && isBase64(text[at - 1]) ? at - 1 : at, to: after + paddingAt(text, after) };
  }
  return undefined;
}

/** How much of a form stands at the place: all, or what a cut has left; 0 when it is something else. */
function lengthAt({ text, at, cut }: Place, form: string): number {
  if (text.startsWith(form, at)) return form.length;
  const rest = cut - at;
  return rest >= SHORTEST_REST && rest < form.length && form.startsWith(text.slice(at, cut)) ? rest : 0;
}

/** A backslash before it would make an escape of the mark, and nonsense of a line of JSON. */
function withBackslashes(text: string, at: number): number {
  let from = at;
  while (text[from - 1] === '\\') from--;
  return from;
}

const isBase64 = (character: string | undefined): boolean => character !== undefined && /[\w+/-]/.test(character);
const paddingAt = (text: string, at: number): number => (text[at] !== '=' ? 0 : text[at + 1] === '=' ? 2 : 1);

function formsOf(secret: string): Form[] {
  const whole = [...new Set([secret, secret.trim()])].filter(({ length }) => length >= SHORTEST);
  const plain = whole.flatMap((text) => [text, ...jsonForms(text), ...percentForms(text), ...hexForms(text)]);
  return [...[...new Set([...plain, ...inOneLine(secret)])].map((text) => ({ text })), ...whole.flatMap(base64Forms)];
}

/** As messages hold what has several lines: in one, and each word by itself where lines are told one by one. */
function inOneLine(secret: string): string[] {
  if (!/\s/.test(secret)) return [];
  const words = secret.split(/\s+/).filter((word) => word !== '');
  return [words.join(' '), ...words.filter(({ length }) => length >= SHORTEST_WORD)].filter(
    ({ length }) => length >= SHORTEST,
  );
}

export function hexForms(text: string): string[] {
  const hex = Buffer.from(text).toString('hex');
  return [hex, hex.toUpperCase()];
}

/** Within JSON, and within JSON that is a text in JSON. */
function jsonForms(text: string): string[] {
  const once = JSON.stringify(text).slice(1, -1);
  return [once, JSON.stringify(once).slice(1, -1)];
}

/** As the several encoders of URLs and forms do it: they differ in what they leave as it is, and in the digits' case. */
export function percentForms(text: string): string[] {
  const component = encodeURIComponent(text.toWellFormed());
  const strict = component.replace(/[!'()*~]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
  const url = new URL('http://host');
  url.password = text;
  const forms = [
    component,
    strict,
    strict.replaceAll('%20', '+'),
    new URLSearchParams({ '': text }).toString().slice(1),
  ];
  return [...forms, url.password].flatMap((form) => [form, form.replace(/%[\dA-F]{2}/g, (code) => code.toLowerCase())]);
}

/**
 * The characters that depend on the secret alone, for each of the three places in a group of three bytes where it can
 * begin: it is found within anything longer, such as the `user:secret` of basic authentication.
 */
export function base64Forms(text: string): Form[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].flatMap((offset) => {
    const length = offset + bytes.length;
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .slice(Math.ceil((offset * 8) / 6), Math.floor((length * 8) / 6));
    const edges = { before: offset > 0, after: length % 3 > 0 };
    const url = encoded.replaceAll('+', '-').replaceAll('/', '_');
    return [encoded, ...(url === encoded ? [] : [url])].map((form) => ({ text: form, edges }));
  });
}
