/** The embedded server's database file: one for each minor version of the server, which never migrates one. */
import { existsSync, readdirSync, realpathSync, renameSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Settings, stateDirectory } from './settings.ts';

/** Where the database files are. A real path, so that a state directory reached through a link is still the same one. */
export function databaseDirectory(settings: Pick<Settings, 'state'>): string {
  return realpathSync(stateDirectory(settings, 'temporal'));
}

/** Whether a server ever kept anything in this state. */
export const hasDatabase = ({ state }: Pick<Settings, 'state'>): boolean => existsSync(path.join(state, 'temporal'));

/**
 * The database for a server version (`1.29`), and what to tell the user when it is a new one beside older ones.
 * One whose server was killed while it made the schema is put aside: the server makes a schema only when there is no
 * file, and would never start on half of one. To be called while no server runs on it.
 */
export function chooseDatabase(
  settings: Pick<Settings, 'state'>,
  version: string,
): { database: string; notice: string | undefined } {
  const directory = databaseDirectory(settings);
  const database = path.join(directory, `${version}.db`);
  if (existsSync(database) && !hasNamespace(database)) {
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(database + suffix)) renameSync(database + suffix, `${database}.incomplete${suffix}`);
    }
  }
  if (existsSync(database)) return { database, notice: undefined };
  const others = readdirSync(directory).filter((name) => /^\d+\.\d+\.db$/.test(name));
  if (others.length === 0) return { database, notice: undefined };
  const versions = others.map((name) => name.slice(0, -'.db'.length)).join(', ');
  const notice = `Temporal server ${version} starts with an empty database; bottles of server ${versions} are seen only with that version`;
  return { database, notice };
}

/** The namespaces are made last, after the whole schema; and without one, there can be no launch to lose. */
function hasNamespace(database: string): boolean {
  const opened = new DatabaseSync(database);
  try {
    return opened.prepare('SELECT 1 FROM namespaces LIMIT 1').get() !== undefined;
  } catch (error) {
    // Anything else that is wrong with the file is for a person to see, in the server's own words.
    return !(error instanceof Error && error.message.startsWith('no such table'));
  } finally {
    opened.close();
  }
}
