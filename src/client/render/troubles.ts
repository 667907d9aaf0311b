/** What keeps a command waiting, told once. */
import type { CareEvent } from '../care.ts';
import type { Who } from '../keeper.ts';

/** What is wrong, in words: each thing once, however many launches are followed by one command. */
export class Troubles {
  readonly #said = new Map<Who, string>();

  /** Nothing is wrong as far as anybody was told. */
  get none(): boolean {
    return this.#said.size === 0;
  }

  /** @returns the line to show; undefined when it was shown already */
  tell({ kind, who, text }: CareEvent): string | undefined {
    const before = this.#said.get(who);
    if (kind === 'recovered') return this.#said.delete(who) ? text : undefined;
    this.#said.set(who, text);
    return before === text ? undefined : text;
  }
}
