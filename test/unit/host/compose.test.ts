import { existsSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { DEFAULT_PORT, uiPortOf } from '../../../src/host/settings.ts';
import { DYNAMIC_CONFIG, RETENTION_DAYS, SEARCH_ATTRIBUTES } from '../../../src/host/temporal-defaults.ts';

interface Service {
  image: string;
  restart: string;
  depends_on?: Record<string, { condition: string }>;
  environment: Record<string, string>;
  volumes?: string[];
  networks: string[];
  ports?: string[];
  healthcheck?: { test: string[] };
  entrypoint?: string[];
}

const root = new URL('../../../', import.meta.url);
const text = readFileSync(new URL('docker-compose.temporal.yml', root), 'utf8');
const compose = parse(text) as {
  services: Record<'postgresql' | 'schema' | 'temporal' | 'namespace' | 'ui', Service>;
  networks: Record<string, { internal?: boolean }>;
  volumes: Record<string, unknown>;
};
const { postgresql, schema, temporal, namespace, ui } = compose.services;
const services = Object.entries(compose.services);

/** As `docker compose` fills in a variable that nobody set. */
const filledIn = (value: string): string => value.replace(/\$\{\w+:-([^}]*)\}/g, '$1');

describe('docker-compose.temporal.yml', () => {
  it('has the database, two one-shot set-ups, the server and the UI, and nothing else', () => {
    expect(services.map(([name]) => name).sort()).toEqual(['namespace', 'postgresql', 'schema', 'temporal', 'ui']);
  });

  it('pins every image to one exact version', () => {
    expect(Object.fromEntries(services.map(([name, { image }]) => [name, image]))).toEqual({
      postgresql: 'postgres:16.14-bookworm',
      schema: 'temporalio/admin-tools:1.32.0',
      temporal: 'temporalio/server:1.32.0',
      namespace: 'temporalio/admin-tools:1.32.0',
      ui: 'temporalio/ui:2.54.1',
    });
  });

  it('publishes the server and the UI on loopback only, the UI 1000 above the server, and not the database', () => {
    expect(services.flatMap(([, { ports }]) => ports ?? []).map(filledIn)).toEqual([
      `127.0.0.1:${DEFAULT_PORT}:7233`,
      `127.0.0.1:${uiPortOf(DEFAULT_PORT)}:8080`,
    ]);
    expect(postgresql.ports).toBeUndefined();
  });

  it('keeps the database on a network without a way out, with the server and the schema set-up alone', () => {
    expect(compose.networks['database']).toEqual({ internal: true });
    expect(services.filter(([, { networks }]) => networks.includes('database')).map(([name]) => name)).toEqual([
      'postgresql',
      'schema',
      'temporal',
    ]);
    expect(postgresql.networks).toEqual(['database']);
  });

  it('keeps the database in a named volume', () => {
    expect(postgresql.volumes).toEqual(['postgresql:/var/lib/postgresql/data']);
    expect(Object.keys(compose.volumes)).toEqual(['postgresql']);
  });

  it('starts each service when what it needs is healthy or done', () => {
    const conditions = (service: Service) =>
      Object.fromEntries(Object.entries(service.depends_on ?? {}).map(([name, { condition }]) => [name, condition]));
    expect(conditions(schema)).toEqual({ postgresql: 'service_healthy' });
    expect(conditions(temporal)).toEqual({ postgresql: 'service_healthy', schema: 'service_completed_successfully' });
    expect(conditions(namespace)).toEqual({ temporal: 'service_healthy' });
    expect(conditions(ui)).toEqual({ temporal: 'service_healthy', namespace: 'service_completed_successfully' });
    for (const [name, { depends_on }] of services) {
      for (const [needed, { condition }] of Object.entries(depends_on ?? {})) {
        const { healthcheck, restart } = compose.services[needed as keyof typeof compose.services];
        if (condition === 'service_healthy') expect(healthcheck, `${name} waits for ${needed}`).toBeDefined();
        else expect(restart, `${name} waits for the end of ${needed}`).toMatch(/^on-failure/);
      }
    }
    expect(
      [postgresql, temporal, ui].every(({ healthcheck, restart }) => healthcheck && restart === 'unless-stopped'),
    ).toBe(true);
  });

  it('gives the same database password everywhere, one that POSTGRES_PASSWORD replaces', () => {
    const passwords = [
      postgresql.environment['POSTGRES_PASSWORD'],
      schema.environment['SQL_PASSWORD'],
      temporal.environment['POSTGRES_PWD'],
    ];
    expect(new Set(passwords).size).toBe(1);
    expect(passwords[0]).toMatch(/^\$\{POSTGRES_PASSWORD:-.{16,}\}$/);
  });

  it('has the dynamic configuration of the embedded server', () => {
    const inContainer = temporal.environment['DYNAMIC_CONFIG_FILE_PATH'];
    const mount = temporal.volumes?.find((volume) => volume.endsWith(`:${inContainer}:ro`));
    expect(mount).toBeDefined();
    const file = parse(readFileSync(new URL(mount?.split(':', 1)[0] ?? '', root), 'utf8')) as Record<
      string,
      { value: unknown }[]
    >;
    const values = Object.fromEntries(
      Object.entries(file).map(([key, entries]) => [key, entries.map(({ value }) => value)]),
    );
    expect(values).toEqual(Object.fromEntries(Object.entries(DYNAMIC_CONFIG).map(([key, value]) => [key, [value]])));
  });

  it('sets up our search attributes and retention', () => {
    expect(namespace.environment['SEARCH_ATTRIBUTES']?.split(' ')).toEqual([...SEARCH_ATTRIBUTES]);
    expect(namespace.environment['RETENTION']).toBe(`${RETENTION_DAYS * 24}h`);
  });

  it('mounts only files that are there, read-only, and runs scripts that may be run', () => {
    const mounts = services.flatMap(([, { volumes }]) => volumes ?? []).filter((volume) => volume.startsWith('./'));
    expect(mounts).toHaveLength(3);
    for (const mount of mounts) {
      const [source = '', target, mode] = mount.split(':');
      expect(existsSync(new URL(source, root)), source).toBe(true);
      expect(mode).toBe('ro');
      if (source.endsWith('.sh')) {
        expect(statSync(new URL(source, root)).mode & 0o111, source).not.toBe(0);
        expect(services.filter(([, { entrypoint }]) => entrypoint?.includes(target ?? ''))).toHaveLength(1);
      }
    }
  });

  it('lets nobody terminate from its UI, where terminating would undo nothing, but lets updates through', () => {
    expect(ui.environment).toMatchObject({
      TEMPORAL_WORKFLOW_TERMINATE_DISABLED: 'true',
      TEMPORAL_BATCH_ACTIONS_DISABLED: 'true',
      TEMPORAL_CSRF_COOKIE_INSECURE: 'true',
    });
    expect(Object.keys(ui.environment)).not.toContain('TEMPORAL_WORKFLOW_UPDATE_DISABLED');
    expect(filledIn(ui.environment['TEMPORAL_CORS_ORIGINS'] ?? '')).toContain(
      `http://127.0.0.1:${uiPortOf(DEFAULT_PORT)}`,
    );
  });
});
