/** Room on the disks that bottle writes to: said by name before anything fails for want of it in words of its own. */
import { statfsSync } from 'node:fs';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import type { Settings } from './settings.ts';

export interface Room {
  /** Bytes that this process may still write. */
  free: number;
  /** Bytes of the whole disk. */
  total: number;
}

const MIB = 1024 ** 2;
/** The server writes whole pages and a log ahead of them: with less than this nothing can be recorded for sure. */
const FULL_BYTES = 1 * MIB;
/** What a day of launches may take: histories, logs, plans. */
const LOW_BYTES = 256 * MIB;

/** @returns undefined where the disk cannot be asked; of what is not there yet, the disk that it will be on */
export function roomAt(directory: string): Room | undefined {
  for (let each = path.resolve(directory); ; each = path.dirname(each)) {
    try {
      const { bsize, blocks, bfree, bavail } = statfsSync(each);
      // The blocks that a file system keeps back are root's to use.
      return { free: bsize * (process.getuid?.() === 0 ? bfree : bavail), total: bsize * blocks };
    } catch {
      if (each === path.dirname(each)) return undefined;
    }
  }
}

export const isFull = ({ free }: Room): boolean => free < FULL_BYTES;

/** A small disk that is mostly empty is no cause for worry. */
export const isLow = ({ free, total }: Room): boolean => free < Math.min(LOW_BYTES, total / 10);

/** `1.5 MiB of 80 MiB free`. */
export const roomText = ({ free, total }: Room): string => `${sizeText(free)} of ${sizeText(total)} free`;

/**
 * What is wrong with the disk that an embedded server keeps its database on: undefined while there is room, and for a server
 * elsewhere, whose disk is not ours to look at.
 */
export function fullState({ state }: Partial<Pick<Settings, 'state'>>): BottleError | undefined {
  if (state === undefined) return undefined;
  const room = roomAt(state);
  if (room === undefined || !isFull(room)) return undefined;
  return new BottleError('DISK_FULL', `the disk of ${state} is full: ${roomText(room)}`, {
    hint: 'make room on it: nothing is lost, and what waits goes on by itself',
  });
}

/** @throws BottleError `DISK_FULL` when nothing can be recorded there */
export function assertRoom(settings: Partial<Pick<Settings, 'state'>>): void {
  const full = fullState(settings);
  if (full !== undefined) throw full;
}

function sizeText(bytes: number): string {
  if (bytes >= 1024 * MIB) return `${(bytes / 1024 / MIB).toFixed(1)} GiB`;
  return bytes >= 10 * MIB ? `${Math.round(bytes / MIB)} MiB` : `${(bytes / MIB).toFixed(1)} MiB`;
}
