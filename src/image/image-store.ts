// Images of this machine: which image a name stands for, and of which snapshots it is made. Config and manifest bytes
// are blobs of the content store.
import { type Digest, parseDigest } from '../../solver/digest.ts';
import type { Platform } from '../../solver/op.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import type { MetaDatabase, Row } from '../store/meta-database.ts';
import { numberColumn, optionalTextColumn, textColumn } from '../store/meta-database.ts';

/** A layer, and the snapshot whose changes it is. */
export interface ImageLayer {
  readonly diffID: Digest;
  readonly snapshot: SnapshotName;
}

/** An image all of whose snapshots are here; their files perhaps not yet, see lazy-layers.ts. */
export interface LocalImage {
  /** Digest of the image config: the imageID. */
  readonly configDigest: Digest;
  /** Digest of the manifest, once one exists. */
  readonly manifestDigest?: Digest;
  /** Oldest first. */
  readonly layers: readonly ImageLayer[];
  readonly platform: Platform;
  readonly createdAtMs: number;
  /** True when it was built here, also when it was pulled, too. */
  readonly isBuilt: boolean;
}

/** A normalised reference such as `docker.io/library/app:1`. */
interface Tag {
  readonly reference: string;
  /** Digest that the name led to when it was pulled. */
  readonly resolvedDigest?: Digest;
}

/** A name as `tsbuild images` lists it. */
export interface ListedTag extends Tag {
  /** True when it names what was built here, false when it was pulled: an image can be both, under two names. */
  readonly isBuilt: boolean;
}

/** One config, with every name it has. */
export interface ListedImage extends LocalImage {
  /** In byte order of their references; empty for an image that lost its name to a later one. */
  readonly tags: readonly ListedTag[];
}

/** Each call is one transaction. */
export class ImageStore {
  readonly #db: MetaDatabase;
  readonly #now: () => number;

  constructor(db: MetaDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /** Records the image and points all tags at it; without tags it is kept under its id alone. Idempotent. */
  save(image: LocalImage, tags: readonly Tag[] = []): void {
    this.#db.transaction(() => {
      this.#saveImage(image);
      for (const tag of tags) this.#saveTag(image, tag);
    });
  }

  /** The image a name stands for; among several platforms of a pulled name, the asked one. */
  find(reference: string, platform?: Platform): ListedImage | undefined {
    const row = this.#db.get(
      `SELECT images.* FROM tags JOIN images USING (config_digest)
       WHERE reference = ?1 AND (?2 IS NULL OR tags.platform = ?2) ORDER BY tagged_at_ms DESC LIMIT 1`,
      reference,
      platform === undefined ? null : platformText(platform),
    );
    return row === undefined ? undefined : this.#listed(row);
  }

  /** The image with that config digest. */
  get(configDigest: Digest): ListedImage | undefined {
    const row = this.#db.get('SELECT * FROM images WHERE config_digest = ?', configDigest);
    return row === undefined ? undefined : this.#listed(row);
  }

  /** Newest first. */
  list(): readonly ListedImage[] {
    return this.#db
      .all('SELECT * FROM images ORDER BY created_at_ms DESC, config_digest')
      .map((row) => this.#listed(row));
  }

  /** Removes the name, the image stays; false when there was none. */
  untag(reference: string): boolean {
    return this.#db.run('DELETE FROM tags WHERE reference = ?', reference).changes > 0;
  }

  /** Removes the image and its tags; false when there was none. */
  remove(configDigest: Digest): boolean {
    return this.#db.run('DELETE FROM images WHERE config_digest = ?', configDigest).changes > 0;
  }

  #saveImage(image: LocalImage): void {
    // An image that is built and pulled alike keeps its first time; the snapshots named last are those that exist.
    this.#db.run(
      `INSERT INTO images (config_digest, manifest_digest, layers, platform, created_at_ms, is_built)
       VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET manifest_digest = coalesce(excluded.manifest_digest, manifest_digest),
         layers = excluded.layers, is_built = max(is_built, excluded.is_built)`,
      image.configDigest,
      image.manifestDigest ?? null,
      JSON.stringify(image.layers),
      platformText(image.platform),
      image.createdAtMs,
      image.isBuilt ? 1 : 0,
    );
  }

  #saveTag(image: LocalImage, { reference, resolvedDigest }: Tag): void {
    const platform = platformText(image.platform);
    // Other platforms of a name stay only while they come from the same index.
    this.#db.run(
      `DELETE FROM tags WHERE reference = ?1 AND (platform = ?2 OR resolved_digest IS NULL OR resolved_digest IS NOT ?3)`,
      reference,
      platform,
      resolvedDigest ?? null,
    );
    this.#db.run(
      'INSERT INTO tags (reference, platform, config_digest, resolved_digest, tagged_at_ms, is_built) VALUES (?, ?, ?, ?, ?, ?)',
      reference,
      platform,
      image.configDigest,
      resolvedDigest ?? null,
      this.#now(),
      image.isBuilt ? 1 : 0,
    );
  }

  #listed(row: Row): ListedImage {
    const configDigest = textColumn(row, 'config_digest');
    const tags = this.#db.all(
      'SELECT reference, resolved_digest, is_built FROM tags WHERE config_digest = ? ORDER BY reference',
      configDigest,
    );
    return { ...imageOf(row), tags: tags.map(tagOf) };
  }
}

function imageOf(row: Row): LocalImage {
  const manifestDigest = optionalTextColumn(row, 'manifest_digest');
  return {
    configDigest: parseDigest(textColumn(row, 'config_digest')),
    ...(manifestDigest === undefined ? {} : { manifestDigest: parseDigest(manifestDigest) }),
    // Both columns are written by #saveImage only.
    layers: JSON.parse(textColumn(row, 'layers')) as readonly ImageLayer[],
    platform: JSON.parse(textColumn(row, 'platform')) as Platform,
    createdAtMs: numberColumn(row, 'created_at_ms'),
    isBuilt: numberColumn(row, 'is_built') === 1,
  };
}

function tagOf(row: Row): ListedTag {
  const resolvedDigest = optionalTextColumn(row, 'resolved_digest');
  return {
    reference: textColumn(row, 'reference'),
    isBuilt: numberColumn(row, 'is_built') === 1,
    ...(resolvedDigest === undefined ? {} : { resolvedDigest: parseDigest(resolvedDigest) }),
  };
}

/** One text for equal platforms: keys in a fixed order, absent ones left out. */
function platformText({ os, architecture, variant, osVersion, osFeatures }: Platform): string {
  return JSON.stringify({ os, architecture, variant, osVersion, osFeatures });
}
