// Says of each step that runs why it does, by comparing it with the step that stood in its place in an earlier build.
// Nothing here is done for a step that is cached, and nothing here can fail a build.
import { TsbuildError } from '../../solver/errors.ts';
import type { Digest } from '../../solver/digest.ts';
import type { Miss } from '../../solver/miss.ts';
import type { ContentSelector, Result } from '../../solver/op-runner.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { Builds, StepRecord } from '../store/builds.ts';
import type { MetaDatabase } from '../store/meta-database.ts';
import { textColumn } from '../store/meta-database.ts';
import type { BaseText } from './base-text.ts';
import { compareParts } from './compare-parts.ts';
import { matchSteps, surely } from './match-steps.ts';
import { comparePaths, decodePathLists, encodePathLists, type HasSameBytes, type PathEntry } from './path-list.ts';
import type { Reason } from './reason.ts';
import { partsOf, placeOf, type StepParts } from './step-parts.ts';

/** The selected files of an input, and a way to tell whether one of them has still the bytes of an earlier list. */
export interface ListedContent {
  readonly entries: readonly PathEntry[];
  readonly hasSameBytes: HasSameBytes;
}

interface ExplainerOptions {
  readonly db: MetaDatabase;
  readonly builds: Builds;
  readonly buildID: string;
  readonly vertices: readonly Vertex[];
  readonly isBuildArg: (name: string) => boolean;
  /** What the Dockerfile says of an image. */
  readonly fromOf: (vertex: Vertex) => BaseText | undefined;
  /** The paths that count of an input. */
  readonly listContent: (result: Result, selectors: readonly ContentSelector[]) => ListedContent;
}

interface Explained {
  readonly parts: StepParts;
  readonly lists: ReadonlyMap<number, readonly PathEntry[]>;
}

interface Former {
  readonly step: StepRecord;
  readonly parts: StepParts | undefined;
  readonly lists: () => ReadonlyMap<number, readonly PathEntry[]>;
  /** All steps of its build by vertices of this one. */
  readonly matches: ReadonlyMap<Digest, StepRecord>;
}

const BUILDS_COMPARED = 5;

/** One for each build in which something runs. */
export class Explainer {
  readonly #options: ExplainerOptions;
  readonly #explained = new Map<Digest, Explained>();
  readonly #reasons = new Map<Digest, readonly Reason[]>();
  #matches: readonly ReadonlyMap<Digest, StepRecord>[] | undefined;

  constructor(options: ExplainerOptions) {
    this.#options = options;
  }

  /** At least one reason. */
  explain(miss: Miss): readonly Reason[] {
    const reasons = this.#reasonsOf(miss);
    this.#reasons.set(miss.vertex.digest, reasons);
    return reasons;
  }

  #reasonsOf(miss: Miss): readonly Reason[] {
    const parts = partsOf(miss, this.#options.fromOf);
    const contents = this.#listContents(miss);
    const lists = new Map([...contents].map(([input, { entries }]) => [input, entries]));
    this.#explained.set(miss.vertex.digest, { parts, lists });
    const { ignoreCache, ignoredFor: filter } = miss.vertex.options;
    if (ignoreCache === true) return [{ kind: 'no-cache', ...(filter !== undefined && { filter }) }];
    const former = this.#formerOf(miss.vertex);
    if (former === undefined) return [{ kind: this.#hasFormerBuilds() ? 'new-step' : 'first-build' }];
    return this.#compare(miss, parts, former, contents);
  }

  /** Keeps with its result what the step was made of. */
  save(vertex: Vertex, result: Result): void {
    const explained = this.#explained.get(vertex.digest);
    if (explained === undefined || result.id === undefined) return;
    this.#options.db.run(
      'INSERT OR REPLACE INTO step_parts (result, parts, paths) VALUES (?, ?, ?)',
      result.id,
      JSON.stringify(explained.parts),
      explained.lists.size === 0 ? null : encodePathLists(explained.lists),
    );
    this.#explained.delete(vertex.digest);
  }

  #compare(
    miss: Miss,
    parts: StepParts,
    { step, parts: old, lists, matches }: Former,
    contents: ReadonlyMap<number, ListedContent>,
  ): readonly Reason[] {
    if (old !== undefined) {
      const found = compareParts(old, parts, miss, {
        isBuildArg: this.#options.isBuildArg,
        isSameName: (vertex) => this.#isSameName(vertex, matches.get(vertex)),
        comparePaths: (input) => {
          const content = contents.get(input);
          const before = lists().get(input);
          return content === undefined || before === undefined
            ? []
            : comparePaths(before, content.entries, content.hasSameBytes);
        },
      });
      if (found.some(({ kind }) => kind !== 'parent') || (found.length > 0 && !this.#standsOnEvicted(miss)))
        return found;
    }
    const text = placeOf(step.name).text;
    if (old === undefined && text !== parts.text) return [{ kind: 'instruction', old: text, new: parts.text }];
    const ran = miss.inputs.find(({ hasRun, content }) => hasRun && content === undefined);
    if (ran !== undefined && !this.#standsOnEvicted(miss)) {
      return [{ kind: 'parent', step: ran.vertex.options.name, hasRun: true }];
    }
    if (step.status === 'cached' || step.status === 'completed') return [{ kind: 'evicted' }];
    return [{ kind: 'unfinished', status: step.status }];
  }

  #isSameName(digest: Digest, old: StepRecord | undefined): boolean {
    const now = this.#options.vertices.find((vertex) => vertex.digest === digest);
    return old !== undefined && now !== undefined && placeOf(old.name).text === placeOf(now.options.name).text;
  }

  /** What it stands on gave the same as before, only its result was gone: so is this one's. */
  #standsOnEvicted({ inputs }: Miss): boolean {
    const ran = inputs.filter(({ hasRun, content }) => hasRun && content === undefined);
    const isEvicted = (digest: Digest): boolean =>
      this.#reasons.get(digest)?.every(({ kind }) => kind === 'evicted') === true;
    return ran.length > 0 && ran.every(({ vertex }) => isEvicted(vertex.digest));
  }

  #listContents({ cacheMap, inputs }: Miss): ReadonlyMap<number, ListedContent> {
    const lists = new Map<number, ListedContent>();
    for (const [input, { result, content }] of inputs.entries()) {
      const selectors = cacheMap.inputs[input]?.contentSelectors;
      if (content !== undefined && selectors !== undefined)
        lists.set(input, this.#options.listContent(result, selectors));
    }
    return lists;
  }

  #formerOf({ digest, options }: Vertex): Former | undefined {
    const { stage, text } = placeOf(options.name);
    let isStageSeen = false;
    for (const matches of this.#formerBuilds()) {
      const step = matches.get(digest);
      // Where a newer build had the stage without it, it has not come out of another step of an older one.
      if (step !== undefined && (!isStageSeen || step.vertex === digest || placeOf(step.name).text === text)) {
        return this.#load(step, matches);
      }
      isStageSeen ||= [...matches.values()].some(({ name }) => placeOf(name).stage === stage);
    }
    return undefined;
  }

  #load(step: StepRecord, matches: Former['matches']): Former {
    const row =
      step.result === undefined
        ? undefined
        : this.#options.db.get('SELECT parts, paths FROM step_parts WHERE result = ?', step.result);
    return {
      step,
      matches,
      // Written by `save` only.
      parts: row === undefined ? undefined : (JSON.parse(textColumn(row, 'parts')) as StepParts),
      lists: () => (row?.['paths'] instanceof Uint8Array ? decodePathLists(row['paths']) : new Map()),
    };
  }

  #hasFormerBuilds(): boolean {
    return this.#formerBuilds().length > 0;
  }

  /** Steps of earlier builds of the same Dockerfile and context by the vertices of this one, newest build first. */
  #formerBuilds(): readonly ReadonlyMap<Digest, StepRecord>[] {
    this.#matches ??= this.#options.builds
      .before(this.#options.buildID, BUILDS_COMPARED)
      .map((id) => {
        const vertices = this.#options.vertices.map(({ digest, options }) => ({ digest, name: options.name }));
        const matches = matchSteps(vertices, this.#options.builds.steps(id));
        // The record of a build that was killed lacks steps: what is left over is not in the place of another.
        return this.#options.builds.get(id)?.status === 'interrupted' ? surely(vertices, matches) : matches;
      })
      .filter((matches) => matches.size > 0);
    return this.#matches;
  }
}

/** What can be told of a failure to explain: nothing, when the failure is one of the world's. */
export function reasonsOrNone(explain: () => readonly Reason[]): readonly Reason[] {
  try {
    return explain();
  } catch (error) {
    if (error instanceof TsbuildError) return [];
    throw error;
  }
}
