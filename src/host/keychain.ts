/** The keychain of whoever runs the worker: which program reads it on which platform, and what to do when it cannot. */

export interface KeychainItem {
  service: string;
  account?: string;
}

/** Somebody may have to allow it in a dialogue first. */
export const KEYCHAIN_TIMEOUT_MS = 30_000;

export interface KeychainReader {
  argv: readonly [program: string, ...args: string[]];
  /** Whether it says by its end that there is no such item. */
  noItem(exit: { code: number; silent: boolean }): boolean;
  /** What to do when the program is not there. */
  install: string;
  /** What to do when the item is not there. */
  store: string;
}

const READERS: Partial<Record<NodeJS.Platform, (item: KeychainItem) => KeychainReader>> = {
  darwin: ({ service, account }) => ({
    argv: ['security', 'find-generic-password', '-w', '-s', service, ...(account === undefined ? [] : ['-a', account])],
    noItem: ({ code }) => code === 44, // errSecItemNotFound, -25300, modulo 256
    install: 'it is /usr/bin/security of macOS: put /usr/bin on the PATH of the worker',
    store: `put it there with: security add-generic-password -s ${quote(service)} -a ${quote(account ?? 'ACCOUNT')} -w`,
  }),
  linux: ({ service, account }) => ({
    argv: ['secret-tool', 'lookup', '--', 'service', service, ...(account === undefined ? [] : ['account', account])],
    noItem: ({ code, silent }) => code === 1 && silent,
    install:
      "install secret-tool (apt-get install libsecret-tools, or your system's libsecret), then retry; or use another kind of reference",
    store: `put it there, and unlock the keyring, with: secret-tool store --label ${quote(service)} -- service ${quote(service)}${
      account === undefined ? '' : ` account ${quote(account)}`
    }`,
  }),
};

/** @returns undefined where there is no keychain that bottle knows */
export function keychainReader(item: KeychainItem, platform: NodeJS.Platform): KeychainReader | undefined {
  return READERS[platform]?.(item);
}

/** For a shell, as a person would write it. */
const quote = (text: string): string => (/^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
