// DiffIDs of snapshots: digested in the background as soon as a step has ended, and remembered in the store.
import type { DiffService } from '../diff/diff-service.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import type { ImageLayer } from './image-store.ts';

/** Each snapshot is digested once, however many ask for it. */
export class LayerDigests {
  readonly #snapshotter: Snapshotter;
  readonly #service: () => Promise<DiffService>;
  readonly #pending = new Map<SnapshotName, Promise<ImageLayer>>();

  constructor(snapshotter: Snapshotter, service: () => Promise<DiffService>) {
    this.#snapshotter = snapshotter;
    this.#service = service;
  }

  /** Starts digesting the snapshot's own layer; a failure is told to whoever asks for it. */
  start(name: SnapshotName): void {
    this.#layer(name).catch(() => undefined);
  }

  /** The layers from the oldest parent to the snapshot itself. */
  async ofChain(name: SnapshotName): Promise<readonly ImageLayer[]> {
    return await Promise.all(this.#snapshotter.chain(name).map((snapshot) => this.#layer(snapshot)));
  }

  #layer(name: SnapshotName): Promise<ImageLayer> {
    const pending = this.#pending.get(name) ?? this.#digest(name);
    this.#pending.set(name, pending);
    return pending;
  }

  async #digest(name: SnapshotName): Promise<ImageLayer> {
    const known = this.#snapshotter.diffIDOf(name);
    if (known) return { diffID: known.diffID, snapshot: name };
    const { diffID, sizeBytes } = await (await this.#service()).diffID(this.#snapshotter.layerDirs(name));
    this.#snapshotter.setDiffID(name, diffID, sizeBytes);
    return { diffID, snapshot: name };
  }
}
