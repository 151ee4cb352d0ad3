// What people get who install tsbuild: the bundles and what they import, and nothing of this machine.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { installCommand } from './e2e/harness.ts';
import { itNeeding, PROJECT } from './needs.ts';

const DIST = join(PROJECT, 'dist');
const BUNDLES = [
  'diff-worker.js',
  'enter-namespace.js',
  'main.js',
  'pretence-worker.js',
  'tsbuild.js',
  'tty-printer.js',
];
/** Of packages and Node's own modules. */
const IMPORTS = /(?:^import\s[^'"]*|\bimport\(|createRequire\(import\.meta\.url\)\()['"]([^'"./][^'"]*)['"]/gm;
const MANIFEST = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

const OLD_NODE = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => versionOf(path) < 24);

describe('the package', () => {
  itNeeding(['npm'], 'holds the bundles, the README and little else', () => {
    const args = ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline'];
    const { stdout, stderr } = spawnSync('npm', args, { cwd: PROJECT, encoding: 'utf8' });
    expect(stdout, stderr).toMatch(/^[[{]/);
    const packed: unknown = JSON.parse(stdout);
    const [{ files, unpackedSize }] = Object.values(packed as Record<string, PackedPackage>) as [PackedPackage];
    const expected = ['README.md', ...BUNDLES.map((name) => `dist/${name}`), 'package.json'];
    expect(files.map(({ path }) => path)).toEqual(expected);
    expect(unpackedSize).toBeLessThan(4_000_000);
  });

  it('knows no path of the machine it was made on, and needs no other package than it names', () => {
    expect(
      readdirSync(DIST)
        .filter((name) => name.endsWith('.js'))
        .sort(),
    ).toEqual(BUNDLES);
    for (const name of BUNDLES) {
      const text = readFileSync(join(DIST, name), 'utf8');
      expect(text.includes(PROJECT), name).toBe(false);
      expect(text, name).not.toMatch(/^\/\/# sourceMappingURL/m);
      for (const [, specifier = ''] of text.matchAll(IMPORTS)) {
        const isKnown = specifier.startsWith('node:') || specifier in MANIFEST.dependencies;
        expect(isKnown, `${name} imports ${specifier}`).toBe(true);
      }
    }
  });

  itNeeding([{ name: 'a Node older than 24', isHere: OLD_NODE !== undefined }], 'says which Node it needs', () => {
    const script = join(installCommand(), 'dist', 'tsbuild.js');
    const { status, stdout, stderr } = spawnSync(OLD_NODE ?? '', [script, 'images'], { encoding: 'utf8' });
    expect(stderr).toMatch(
      /^error: tsbuild needs Node 24 or newer, this is [\d.]+\nhint: install a newer Node, or run it once with: npx -p node@24 tsbuild\n$/,
    );
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });
});

interface PackedPackage {
  readonly files: readonly { readonly path: string }[];
  readonly unpackedSize: number;
}

/** The major version; where there is no Node, one that is never too old. */
function versionOf(node: string): number {
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return Number(/^v(\d+)/.exec(stdout ?? '')?.[1] ?? Number.POSITIVE_INFINITY);
}
