import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadDockerfile, loadDockerfileIn } from '../../src/context/load-dockerfile.ts';
import { ContextTree } from '../../src/ops/build-context.ts';

const place = mkdtempSync(join(tmpdir(), 'tsbuild-load-'));
afterAll(() => rmSync(place, { recursive: true }));
mkdirSync(join(place, 'a/dir'), { recursive: true });

const refused = (fact: string, hint: string) =>
  expect.objectContaining({
    code: 'TSB_DOCKERFILE_UNREADABLE',
    message: `failed to read dockerfile: ${fact}`,
    hint,
  });

it('a directory given with -f is named as it was given', () => {
  const hint = 'name a file with -f, such as DIR/Dockerfile';
  expect(() => loadDockerfile(place, 'a/dir', place)).toThrow(refused('a/dir is a directory', hint));
  expect(() => loadDockerfile(place, `${place}/a`, '/')).toThrow(refused(`${place}/a is a directory`, hint));
});

it('a file that is not there is looked for where the user stands, or in what was fetched', () => {
  const missing = 'open nosuch: no such file or directory';
  expect(() => loadDockerfile(place, 'nosuch', place)).toThrow(
    refused(missing, 'paths given with -f are relative to where you stand'),
  );
  expect(() => loadDockerfileIn(new ContextTree(place), 'nosuch')).toThrow(
    refused(missing, 'paths given with -f are relative to the build context'),
  );
});
