/** What a figure was measured on. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { docker, root } from '../support/installation.ts';

export function machineFacts(): Record<string, unknown> {
  const cpus = os.cpus();
  return {
    platform: `${os.platform()} ${os.release()}`,
    cpu: cpus[0]?.model.trim() ?? 'unknown',
    cores: cpus.length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    load1: os.loadavg()[0],
  };
}

export async function versionFacts(): Promise<Record<string, string>> {
  const read = (file: string): { version: string; dependencies?: Record<string, string> } =>
    JSON.parse(readFileSync(`${root}/${file}`, 'utf8'));
  return {
    bottleworks: read('package.json').version,
    node: process.version,
    temporalSdk: read('node_modules/@temporalio/worker/package.json').version,
    docker: (await docker.version()).Version,
  };
}
