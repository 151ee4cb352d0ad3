// The configs and graphs that BuildKit 0.32.2 makes of real Dockerfiles.
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeNeeding } from '../needs.ts';
import type { Conversion } from '../../frontend/convert-options.ts';
import type { Digest } from '../../solver/digest.ts';
import { digestOf } from '../../solver/digest.ts';
import type { Edge, Vertex } from '../../solver/vertex.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import { convertText } from './convert-dockerfile.ts';

const corpora = new URL('../../../shared/corpora/', import.meta.url);
const hasCorpora = existsSync(corpora);

function readCorpus(path: string): string {
  return readFileSync(new URL(path, corpora), 'utf8');
}

/** The config without what depends on bytes and clocks, and the `H|` lines of the history. */
function readGolden(path: string): { readonly config: unknown; readonly history: string } {
  const text = readCorpus(path);
  const end = text.indexOf('\n');
  const config = JSON.parse(text.slice(0, end).replace('"history":…', '"history":[]')) as Record<string, unknown>;
  const { created: _created, history: _history, rootfs: _rootfs, ...rest } = config;
  return { config: rest, history: text.slice(end + 1) };
}

function goldenForm({ config }: Conversion): { readonly config: unknown; readonly history: string } {
  const { history, rootfs: _rootfs, ...rest } = config;
  const lines = history.map((entry) => `  H| ${entry.created_by} | ${entry.comment} ${entry.empty_layer ?? ''}\n`);
  return { config: rest, history: lines.join('') };
}

describeNeeding([corpora], 'config and history', () => {
  test('every metadata instruction gives the config and history BuildKit gives', async () => {
    const conversion = await convertText(readCorpus('golden/meta.Dockerfile'));
    expect(goldenForm(conversion)).toEqual(readGolden('golden/meta.config.txt'));
  });

  test('copies, heredocs, args and users give the config and history BuildKit gives', async () => {
    const conversion = await convertText(readCorpus('golden/misc.Dockerfile'), { buildArgs: { V: '9' } });
    expect(goldenForm(conversion)).toEqual(readGolden('golden/misc.config.txt'));
  });

  test('the history counts one entry with a layer for each layer BuildKit made', async () => {
    const conversion = await convertText(readCorpus('golden/misc.Dockerfile'), { buildArgs: { V: '9' } });
    const layers = conversion.config.history.filter((entry) => entry.empty_layer !== true);
    expect(layers).toHaveLength(14);
  });

  test.each(['argline', 'copysem', 'linkclash', 'minmode', 'multi', 'onb', 'platargs', 'typeclash'])(
    '%s.Dockerfile converts',
    async (name) => {
      const conversion = await convertText(readCorpus(`golden/${name}.Dockerfile`));
      expect(conversion.definition.head).toBeDefined();
    },
  );
});

interface ConvertedLLB {
  readonly def: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, { readonly description?: Readonly<Record<string, string>> }>>;
  readonly source: { readonly locations: Readonly<Record<string, { readonly locations?: readonly Located[] }>> };
}

interface Located {
  readonly ranges: readonly { readonly start: { readonly line: number }; readonly end: { readonly line: number } }[];
}

/** The session that asked BuildKit; part of its local sources, and so of every digest above one. */
const SESSION_ATTRS = { 'local.session': 'ij29w1ieso6lrjsxzfm8lbf0a', 'local.sharedkeyhint': 'context' };

/** The same graph as that session would have given, its whole context wanted as BuildKit does for a tmpfs mount. */
function inSession(vertex: Vertex, done: Map<Vertex, Vertex>): Vertex {
  const known = done.get(vertex);
  if (known !== undefined) return known;
  const inputs: readonly Edge[] = vertex.inputs.map((edge) => ({ ...edge, vertex: inSession(edge.vertex, done) }));
  const { op } = vertex;
  const isContext = op.kind === 'source' && op.identifier === 'local://context';
  const changed = createVertex(isContext ? { ...op, attrs: SESSION_ATTRS } : op, inputs, vertex.options);
  done.set(vertex, changed);
  return changed;
}

describeNeeding([corpora], 'the LLB of set2, target b', () => {
  const golden = hasCorpora
    ? (JSON.parse(readCorpus('cache-vectors/set2/convertllb-target-b.json')) as ConvertedLLB)
    : undefined;

  async function convertSet2(): Promise<{ readonly head: Edge; readonly vertices: readonly Vertex[] }> {
    const { definition } = await convertText(readCorpus('cache-vectors/set2/Dockerfile'), { target: 'b' });
    const done = new Map<Vertex, Vertex>();
    const vertices = definition.vertices.map((vertex) => inSession(vertex, done));
    const last = vertices.at(-1);
    if (last === undefined) throw new Error('no vertices');
    return { head: { vertex: last, index: 0 }, vertices };
  }

  test('every vertex has the digest BuildKit gives it, the head too', async () => {
    const { head, vertices } = await convertSet2();
    const digests = [...vertices.map(({ digest }): string => digest), headDigest(head)];
    expect(digests.toSorted()).toEqual(Object.keys(golden?.def ?? {}).toSorted());
  });

  test('every vertex has the name and the lines BuildKit gives it', async () => {
    const { vertices } = await convertSet2();
    for (const { digest, options } of vertices) {
      expect(options.name).toBe(golden?.metadata[digest]?.description?.['llb.customname']);
      const located = golden?.source.locations[digest]?.locations?.[0]?.ranges;
      expect(options.range?.start.line).toBe(located?.[0]?.start.line);
      expect(lastLine(options.range)).toBe(located?.at(-1)?.end.line);
    }
  });
});

/** The definition's last element: an op with nothing but the input that is wanted. */
function headDigest(head: Edge): Digest {
  const { digest } = head.vertex;
  const input = Buffer.concat([Buffer.from([0x0a, digest.length]), Buffer.from(digest)]);
  return digestOf(Buffer.concat([Buffer.from([0x0a, input.length]), input]));
}

function lastLine(range: Vertex['options']['range']): number | undefined {
  if (range === undefined) return undefined;
  return range.end.column === 1 ? range.end.line - 1 : range.end.line;
}
