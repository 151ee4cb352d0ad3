// The table in README.md names tests that exist.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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
