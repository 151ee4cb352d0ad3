// All that the release check builds: its own cases, those of the corpus, and fixtures.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FILES, OWN_CASES } from './cases.mjs';

const root = join(import.meta.dirname, '..', '..');

/** A context's files below a directory of the project; the modes count, too. */
function readTree(directory) {
  const paths = readdirSync(directory, { recursive: true }).filter((path) => statSync(join(directory, path)).isFile());
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(directory, path))]));
}

function fixtureCase(name, flags = {}) {
  const { Dockerfile, ...files } = readTree(join(root, 'fixtures', name));
  return { name, dockerfile: Dockerfile.toString(), files, ...flags };
}

/** The Dockerfiles whose caches BuildKit's own are compared with, where they are here. */
function vectorCases() {
  const vectors = join(root, '..', 'shared', 'corpora', 'cache-vectors');
  if (!existsSync(vectors)) return [];
  const files = readTree(join(vectors, 'ctx'));
  return ['set1', 'set2'].map((set) => ({
    name: set,
    // Their shell is not here: any static one will do.
    dockerfile: readFileSync(join(vectors, set, 'Dockerfile'), 'utf8').replace(
      'COPY busybox /bin/sh',
      'COPY --from={BASE} /bin/busybox /bin/sh\nCOPY --from={BASE} /bin/ls /bin/id /bin/',
    ),
    files,
    secrets: { s1: 'secret' },
    isNew: set === 'set2',
  }));
}

/** All cases, with `{BASE}` and the rest of `words` put in. */
export function listCases(words, { withPackages }) {
  const fixtures = withPackages ? [fixtureCase('debian-app', { buildArgs: { BASE: words.DEBIAN } })] : [];
  return [...OWN_CASES, ...vectorCases(), ...fixtures].map((one) => ({
    files: FILES,
    ...one,
    dockerfile: fill(one.dockerfile, words),
    contexts: Object.fromEntries(Object.entries(one.contexts ?? {}).map(([name, value]) => [name, fill(value, words)])),
    buildArgs: { BASE: words.BASE, ...one.buildArgs },
  }));
}

function fill(text, words) {
  return text.replace(/(?<!\$)\{([A-Z]+)\}/g, (whole, word) => words[word] ?? whole);
}
