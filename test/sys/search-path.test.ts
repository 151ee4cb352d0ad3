import { expect, it } from 'vitest';
import { absoluteSearchPath } from '../../src/sys/search-path.ts';

it.each([
  ['/usr/bin:/bin', '/usr/bin:/bin'],
  [':/usr/bin::.:bin:../x:/opt/bin:', '/usr/bin:/opt/bin'],
  ['', '/usr/bin:/bin'],
  ['.', '/usr/bin:/bin'],
])('PATH %j is searched as %j', (path, searched) => {
  expect(absoluteSearchPath(path)).toBe(searched);
});
