/** The daemon in pipelock's place, where the program itself cannot be had: the allow-list proxy on the bundle's address. */
import { parseAllowEntry } from '../core/allow-list.ts';
import type { PipelockConfig } from '../core/bundle-config.ts';
import { type AllowListPolicy, startAllowListProxy } from './allow-list-proxy.ts';
import { runDaemon } from './daemon-process.ts';

export function runAllowList(): void {
  let policy: AllowListPolicy = { allow: [], egress: null };
  let listening = false;
  runDaemon<Extract<PipelockConfig, { kind: 'allow-list' }>>({
    async configure({ listen, allow, egress, proxy }) {
      policy = { allow: allow.map(parseAllowEntry), egress, proxy };
      if (listening) return;
      await startAllowListProxy({
        host: listen.host,
        port: listen.port,
        policy: () => policy,
        onRequest: (record) => process.stdout.write(`${JSON.stringify(record)}\n`),
      });
      listening = true;
    },
  });
}
