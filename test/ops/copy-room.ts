// A real store, a real build context, and file ops run in them.
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createPatternMatcher } from '../../frontend/dockerignore.ts';
import { digestOf } from '../../solver/digest.ts';
import type { CopyAction, FileAction } from '../../solver/op.ts';
import type { Result } from '../../solver/op-runner.ts';
import { ContextTree } from '../../src/ops/build-context.ts';
import { EMPTY_TREE } from '../../src/ops/empty-tree.ts';
import { type FileOpPorts, type FileOpRequest, runFileOp } from '../../src/ops/file-op.ts';
import { FileWriter } from '../../src/ops/file-writer.ts';
import { SourceDigests } from '../../src/ops/source-digests.ts';
import { FileDigester } from '../../src/ops/source-file.ts';
import { RootView } from '../../src/snapshot/root-view.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';

export const CONTEXT: Result = { id: 'context:context' };
export const SCRATCH: Result = { id: undefined };

export const COPY: CopyAction = {
  action: 'copy',
  input: 0,
  secondaryInput: 1,
  output: 0,
  src: '/',
  dest: '/',
  mode: -1,
  followSymlink: true,
  dirCopyContents: true,
  createDestPath: true,
  allowWildcard: true,
  allowEmptyWildcard: true,
};

/** Call `close` at the end of the test. */
export class CopyRoom {
  readonly base = mkdtempSync(join(tmpdir(), 'tsbuild-ops-'));
  readonly context = join(this.base, 'context');
  readonly store: Store = openStore(join(this.base, 'store'));
  readonly #digester = new FileDigester();
  readonly #files = new FileWriter();
  #source: SourceDigests | undefined;

  constructor() {
    mkdirSync(this.context);
  }

  close(): void {
    this.store.close();
    rmSync(this.base, { recursive: true, force: true });
  }

  /** Writes into the context; a value of `-> x` is a link, a name with a slash at its end a directory. */
  write(files: Readonly<Record<string, string>>, options: { mode?: number } = {}): void {
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.context, name);
      mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
      if (text.startsWith('-> ')) symlinkSync(text.slice(3), path);
      else if (!name.endsWith('/')) writeFileSync(path, text, options);
    }
  }

  touch(name: string, seconds: number): void {
    utimesSync(join(this.context, name), seconds, seconds);
  }

  /** A new look at the context, as a later build has it. */
  openContext(ignore: readonly string[] = []): SourceDigests {
    const tree = new ContextTree(this.context, { ignore: createPatternMatcher(ignore) });
    const cache = this.store.statCache.open(tree.root);
    const options = { digester: this.#digester, cache, now: Date.now, hasRootHeader: false };
    this.#source = new SourceDigests(tree, options);
    return this.#source;
  }

  /** COPY with the default options of the frontend, from the context unless `inputs` say otherwise. */
  async copy(
    base: Result,
    src: string,
    dest: string,
    options: Partial<CopyAction> & { readonly from?: Result; readonly reuse?: boolean } = {},
  ): Promise<Result> {
    const { from = CONTEXT, reuse, ...action } = options;
    const results = await this.run(
      [{ ...COPY, src, dest, ...action }],
      [base, from],
      reuse ? { reuse: this.reuse(dest) } : {},
    );
    return results[0] ?? SCRATCH;
  }

  reuse(name: string): NonNullable<FileOpRequest['reuse']> {
    return { directory: join(this.base, 'store', 'reuse'), identity: digestOf(name) };
  }

  async run(
    actions: readonly FileAction[],
    inputs: readonly Result[],
    options: Partial<FileOpRequest> = {},
  ): Promise<readonly Result[]> {
    const signal = new AbortController().signal;
    return await runFileOp(this.ports(), { op: { kind: 'file', actions }, inputs, signal, ...options });
  }

  ports(): FileOpPorts {
    return {
      snapshotter: this.store.snapshotter,
      isRootless: false,
      files: this.#files,
      sourceOf: (result) => this.#sourceOf(result),
    };
  }

  #sourceOf(result: Result): SourceDigests {
    if (result.id === CONTEXT.id) return this.#source ?? this.openContext();
    const tree = result.id === undefined ? EMPTY_TREE : this.view(result);
    return new SourceDigests(tree, { digester: this.#digester, now: Date.now, hasRootHeader: true });
  }

  view(result: Result): RootView {
    return new RootView(result.id === undefined ? [] : this.store.snapshotter.stack(result.id));
  }

  /** The whole tree, one line an entry: `path type mode uid:gid text-or-target`. */
  listing(result: Result): readonly string[] {
    const view = this.view(result);
    const lines: string[] = [];
    const walk = (path: string): void => {
      for (const node of view.list(path)) {
        const mode = node.mode.toString(8).padStart(4, '0');
        const text = node.type === 'file' ? readFileSync(node.hostPath, 'utf8') : node.linkTarget;
        lines.push(`${node.path} ${node.type} ${mode} ${node.uid}:${node.gid} ${text}`.trimEnd());
        if (node.type === 'dir') walk(node.path);
      }
    };
    walk('/');
    return lines;
  }

  text(result: Result, path: string): string | undefined {
    const node = this.view(result).lookup(path);
    return node?.type === 'file' ? readFileSync(node.hostPath, 'utf8') : undefined;
  }

  mtimeNs(result: Result, path: string): bigint {
    return lstatSync(this.view(result).lookup(path)?.hostPath ?? '', { bigint: true }).mtimeNs;
  }
}
