/** Which modules a source file speaks of, types included, and which globals of its surroundings it uses. */
import { parseAst } from 'vitest/node';

export interface ModuleUse {
  /** Specifiers of imports, re-exports, dynamic imports, `import('…')` types and require; `undefined`: not a literal. */
  readonly specifiers: readonly (string | undefined)[];
  /** Names like `process` or `Date.now` from a list that is asked for. */
  readonly globals: readonly string[];
}

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

const IMPORTING = new Set([
  'ImportDeclaration',
  'ExportNamedDeclaration',
  'ExportAllDeclaration',
  'ImportExpression',
  'TSImportType',
]);

/** @param impure names to look for: a global (`process`), or a member of one (`Math.random`) */
export function moduleUse(source: string, impure: readonly string[] = []): ModuleUse {
  const specifiers: (string | undefined)[] = [];
  const globals: string[] = [];
  walk(parseAst(source, { lang: 'ts' }) as unknown as Node, undefined, (node, parent) => {
    if (IMPORTING.has(node.type) && node['source'] !== null) specifiers.push(literal(node['source']));
    if (node.type === 'TSExternalModuleReference') specifiers.push(literal(node['expression']));
    if (node.type === 'CallExpression' && nameOf(node['callee']) === 'require') {
      specifiers.push(literal((node['arguments'] as unknown[])[0]));
    }
    const name = usedName(node, parent);
    if (name !== undefined && impure.includes(name)) globals.push(name);
  });
  return { specifiers, globals };
}

/** `a` or `a.b` where it is used as a value; a property, key or name of something own is none. */
function usedName(node: Node, parent: Node | undefined): string | undefined {
  if (node.type === 'MemberExpression' && nameOf(node['object']) !== undefined) {
    return `${nameOf(node['object'])}.${nameOf(node['property'])}`;
  }
  if (node.type === 'NewExpression' && (node['arguments'] as unknown[]).length === 0)
    return `new ${nameOf(node['callee'])}`;
  const member = parent?.type === 'MemberExpression' && parent['property'] === node && parent['computed'] !== true;
  const key = parent !== undefined && parent['key'] === node && parent['computed'] !== true;
  return member || key ? undefined : nameOf(node);
}

function nameOf(node: unknown): string | undefined {
  return isNode(node) && node.type === 'Identifier' ? (node['name'] as string) : undefined;
}

function literal(node: unknown): string | undefined {
  return isNode(node) && node.type === 'Literal' && typeof node['value'] === 'string' ? node['value'] : undefined;
}

function walk(node: Node, parent: Node | undefined, visit: (node: Node, parent: Node | undefined) => void): void {
  visit(node, parent);
  for (const child of Object.values(node).flat()) if (isNode(child)) walk(child, node, visit);
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
