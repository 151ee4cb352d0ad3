import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadDockerfile, loadDockerfileIn, loadIgnoreFile } from '../../src/context/load-dockerfile.ts';
import { ContextTree } from '../../src/ops/build-context.ts';

const place = mkdtempSync(join(tmpdir(), 'tsbuild-load-'));
afterAll(() => rmSync(place, { recursive: true }));
let contexts = 0;
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

const LINK_HINT = 'put the file itself there, or name it with -f';

/** A new directory. */
function makeContext(): string {
  contexts += 1;
  const context = join(place, `context-${contexts}`);
  mkdirSync(join(context, 'sub'), { recursive: true });
  return context;
}

it.each(['Dockerfile', '.dockerignore'])('a %s that is a link is followed inside the context only', (name) => {
  const load = (context: string): string | undefined =>
    name === 'Dockerfile'
      ? loadDockerfile(context, undefined, '/').file.text
      : loadIgnoreFile(context, undefined)?.text;
  const context = makeContext();
  const outside = join(place, `outside-${contexts}`);
  writeFileSync(outside, 'root:$6$hash');
  symlinkSync(outside, join(context, name));
  expect(() => load(context)).toThrow(refused(`${name} is a link that leads out of ${context}`, LINK_HINT));
  const good = makeContext();
  writeFileSync(join(good, 'real'), 'FROM scratch\n');
  symlinkSync('sub/../real', join(good, name));
  expect(load(good)).toBe('FROM scratch\n');
  const throughLink = join(place, `link-${contexts}`);
  symlinkSync(good, throughLink);
  expect(load(throughLink)).toBe('FROM scratch\n');
});

it('a Dockerfile elsewhere may be a link within its directory, and one that a shell has opened may be anything', () => {
  const [context, other] = [makeContext(), makeContext()];
  writeFileSync(join(other, 'real'), 'FROM scratch\n');
  symlinkSync('real', join(other, 'near'));
  symlinkSync(join(other, 'real'), join(other, 'sub/far'));
  expect(loadDockerfile(context, join(other, 'near'), '/').file.text).toBe('FROM scratch\n');
  expect(() => loadDockerfile(context, join(other, 'sub/far'), '/')).toThrow(
    refused(`far is a link that leads out of ${join(other, 'sub')}`, LINK_HINT),
  );
  const text = execFileSync(
    'bash',
    ['-c', '"$0" --input-type=module -e "$1" "$2" <(printf "FROM piped\\n")', process.execPath, READ_SCRIPT, context],
    { encoding: 'utf8' },
  );
  expect(text).toBe('FROM piped\n');
});

const READ_SCRIPT = `
  const { loadDockerfile } = await import(${JSON.stringify(new URL('../../src/context/load-dockerfile.ts', import.meta.url).href)});
  process.stdout.write(loadDockerfile(process.argv[1], process.argv[2], '/').file.text);
`;

it.each(['Dockerfile', '.dockerignore'])('a %s that is a pipe is not waited for', (name) => {
  const context = makeContext();
  execFileSync('mkfifo', [join(context, name)]);
  // In a process that can be ended: opening a pipe waits where no signal is seen.
  const script = `
    const { loadDockerfile, loadIgnoreFile } = await import(${JSON.stringify(new URL('../../src/context/load-dockerfile.ts', import.meta.url).href)});
    try {
      ${name === 'Dockerfile' ? 'loadDockerfile(process.argv[1], undefined, "/")' : 'loadIgnoreFile(process.argv[1], undefined)'};
    } catch (error) { process.stdout.write(error.message) }
  `;
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', script, context], {
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  expect(text).toBe(`failed to read dockerfile: ${name} is not a regular file`);
});

it('a Dockerfile of more than 16 MiB is not read to its end, in an archive neither', () => {
  const context = makeContext();
  writeFileSync(join(context, 'large'), '');
  truncateSync(join(context, 'large'), 3_000_000_000);
  linkSync(join(context, 'large'), join(context, 'Dockerfile'));
  const error = refused('Dockerfile has more than 16 MiB', 'name another file with -f');
  expect(() => loadDockerfile(context, undefined, '/')).toThrow(error);
  expect(() => loadDockerfileIn(new ContextTree(context), undefined)).toThrow(error);
});
