// README.md files name files, and the table of behaviours tests, that exist.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import glob from 'fast-glob';
import { expect, it } from 'vitest';

const HERE = import.meta.dirname;

it('every test that the table of behaviours names exists', () => {
  const rows = readFileSync(join(HERE, 'README.md'), 'utf8').matchAll(/^\| (\d+) \| .*? \| (.*) \|$/gm);
  const wrong: string[] = [];
  let count = 0;
  for (const [, number = '', cell = ''] of rows) {
    count += 1;
    if (cell.startsWith('not supported')) continue;
    for (const entry of cell.split('<br>')) {
      const [, file = '', title = ''] = /^`([^`]+)`(?:: (.*))?$/.exec(entry) ?? [];
      const path = join(HERE, file);
      if (file === '' || !existsSync(path) || !readFileSync(path, 'utf8').includes(title))
        wrong.push(`${number}: ${entry}`);
    }
  }
  expect(wrong).toEqual([]);
  // 1 to 109 but for the ten of the cache exporters.
  expect(count).toBe(99);
});

it('every file that a ring’s README names exists', () => {
  const root = join(HERE, '..');
  const readmes = glob.sync(['README.md', '{solver,frontend,src,test}/**/README.md'], { cwd: root });
  const missing = readmes.flatMap((readme) => {
    const text = readFileSync(join(root, readme), 'utf8');
    const named = text.matchAll(/`([\w.*/-]+\.(?:tsx?|mjs))\b[^`]*`|\]\((?![a-z]+:)([^)#]+)/g);
    const bases = [dirname(readme), 'src', '.'];
    return [...named]
      .map(([, file, link = '']) => file ?? link)
      .filter(
        (name) =>
          glob.sync(
            bases.map((base) => join(base, name)),
            { cwd: root, dot: true },
          ).length === 0,
      )
      .map((name) => `${readme}: ${name}`);
  });
  expect(readmes.length).toBeGreaterThan(5);
  expect(missing).toEqual([]);
});

it('the README of src names every room', () => {
  const text = readFileSync(join(HERE, '../src/README.md'), 'utf8');
  const rooms = glob.sync('*/', { cwd: join(HERE, '../src'), onlyDirectories: true });
  expect(rooms.length).toBeGreaterThan(20);
  expect(rooms.filter((room) => !text.includes(`\`${room}/`)).sort()).toEqual([]);
});
