import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import glob from 'fast-glob';
import { describe, expect, it } from 'vitest';

/** The rings, from the inside out: a file imports from its own ring and from those before it. */
const RINGS = ['solver', 'frontend', 'src'];

/** Which modules may import a package; everything not named here may not be imported at all. */
const PACKAGE_IMPORTERS: Readonly<Record<string, readonly string[]>> = {
  koffi: ['src/sys/'],
  'dockerfile-ast': ['frontend/parse.ts'],
  'vscode-languageserver-types': ['frontend/parse.ts'],
  'tar-stream': ['src/diff/', 'src/export/'],
  'fast-glob': ['src/'],
  'p-queue': ['src/ops/', 'src/image/'],
  ink: ['src/progress/tty/'],
  react: ['src/progress/tty/'],
  'react/jsx-runtime': ['src/progress/tty/'],
  commander: ['src/cli/'],
  'unbzip2-stream': ['src/diff/'],
  'xz-decompress': ['src/diff/'],
};

/** Effects live in src; the inner rings may compute only. */
const PURE_BUILTINS = new Set(['node:crypto', 'node:path', 'node:buffer', 'node:util']);

/** The name that a line exports; every export is declared where it is exported. */
const EXPORT = /^export (?:abstract |async )*(?:function\*?|class|interface|type|const|let) (\w+)/;

interface Import {
  readonly specifier: string;
  readonly isTypeOnly: boolean;
}

const root = join(import.meta.dirname, '..');
const files = glob
  .sync(
    RINGS.map((ring) => `${ring}/**/*.{ts,tsx}`),
    { cwd: root, dot: true },
  )
  .sort();
const imports = new Map(files.map((file) => [file, importsOf(file)]));

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '');
  const found: Import[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]/gm)) {
    found.push({ specifier: match[2]!, isTypeOnly: match[1] !== undefined });
  }
  for (const match of text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g))
    found.push({ specifier: match[1]!, isTypeOnly: false });
  return found;
}

function target(file: string, specifier: string): string {
  return normalize(join(dirname(file), specifier));
}

/** True when the lines end in a doc comment. */
function isDocComment(lines: readonly string[]): boolean {
  const opening = lines.findLast((line) => line.startsWith('/*'));
  return lines.at(-1)?.endsWith('*/') === true && opening?.startsWith('/**') === true;
}

function ringOf(path: string): number {
  return RINGS.indexOf(path.split('/')[0]!);
}

describe('the architecture', () => {
  it('has rings that import inward only', () => {
    const wrong = files.flatMap((file) =>
      imports
        .get(file)!
        .filter(({ specifier }) => specifier.startsWith('.'))
        .map(({ specifier }) => target(file, specifier))
        .filter((path) => path !== 'package.json' && (ringOf(path) < 0 || ringOf(path) > ringOf(file)))
        .map((path) => `${file} -> ${path}`),
    );
    expect(wrong).toEqual([]);
  });

  it('keeps each package in the modules that may import it', () => {
    const wrong = files.flatMap((file) =>
      imports
        .get(file)!
        .filter(({ specifier }) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
        .filter(({ specifier }) => !(PACKAGE_IMPORTERS[specifier] ?? []).some((place) => file.startsWith(place)))
        .map(({ specifier }) => `${file} -> ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('lets the solver and the frontend compute only', () => {
    const wrong = files
      .filter((file) => ringOf(file) < RINGS.indexOf('src'))
      .flatMap((file) =>
        imports
          .get(file)!
          .filter(({ specifier }) => specifier.startsWith('node:') && !PURE_BUILTINS.has(specifier))
          .map(({ specifier }) => `${file} -> ${specifier}`),
      );
    expect(wrong).toEqual([]);
  });

  it('has no import cycles', () => {
    expect(findCycle()).toEqual([]);
  });

  it('says of every export what it promises', () => {
    const silent = files.flatMap((file) => {
      const lines = readFileSync(join(root, file), 'utf8').split('\n');
      return lines.flatMap((line, at) => {
        if (!line.startsWith('export ')) return [];
        const name = EXPORT.exec(line)?.[1];
        if (name === undefined) return [`${file}:${at + 1}: not where it is declared: ${line}`];
        return isDocComment(lines.slice(0, at)) ? [] : [`${file}:${at + 1}: ${name}`];
      });
    });
    expect(silent).toEqual([]);
  });

  it('exports only what another file imports', () => {
    // Vitest calls the set-up by its name.
    const others = glob.sync(['test/**/*.{ts,tsx}', '*.config.ts'], { cwd: root, ignore: ['test/global-setup.ts'] });
    const all = [...files, ...others].sort();
    const texts = new Map(all.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
    const importers = new Map<string, string[]>();
    for (const [file, text] of texts) {
      for (const { specifier } of importsOf(file)) {
        const imported = target(file, specifier);
        importers.set(imported, [...(importers.get(imported) ?? []), text]);
      }
    }
    const unused = [...texts].flatMap(([file, text]) =>
      [...text.matchAll(new RegExp(EXPORT, 'gm'))]
        .filter(([, name]) => !(importers.get(file) ?? []).some((one) => new RegExp(`\\b${name}\\b`).test(one)))
        .map(([, name]) => `${file}: ${name}`),
    );
    expect(unused).toEqual([]);
  });

  it('has no source file above 300 lines', () => {
    const long = files.filter((file) => readFileSync(join(root, file), 'utf8').split('\n').length > 300);
    expect(long).toEqual([]);
  });
});

function findCycle(): string[] {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return [];
    for (const { specifier, isTypeOnly } of imports.get(file) ?? []) {
      if (isTypeOnly || !specifier.startsWith('.')) continue;
      const cycle = visit(target(file, specifier), [...path, file]);
      if (cycle.length > 0) return cycle;
    }
    done.add(file);
    return [];
  };
  for (const file of files) {
    const cycle = visit(file, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}
