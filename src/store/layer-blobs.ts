// Which compressed blobs stand for a layer: several per diffID, one for each media type and way of compressing.
import type { Digest } from '../../solver/digest.ts';
import { parseDigest } from '../../solver/digest.ts';
import type { MetaDatabase, Row } from './meta-database.ts';
import { numberColumn, textColumn } from './meta-database.ts';

/** A blob whose decompressed bytes have the diffID it is recorded under. Its bytes may have been collected since. */
export interface LayerBlob {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** True for a blob as a registry or layout had it, false or absent for one compressed here. */
  readonly isPulled?: boolean;
}

/** A table of the store; what it names need not be in the content store any more. */
export class LayerBlobs {
  readonly #db: MetaDatabase;

  constructor(db: MetaDatabase) {
    this.#db = db;
  }

  /** Remembers a blob; the latest one of a media type counts. */
  save(diffID: Digest, blob: LayerBlob): void {
    this.#db.run(
      `INSERT INTO layer_blobs (diff_id, media_type, digest, size_bytes, is_pulled) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET digest = excluded.digest, size_bytes = excluded.size_bytes,
         is_pulled = excluded.is_pulled`,
      diffID,
      blob.mediaType,
      blob.digest,
      blob.sizeBytes,
      blob.isPulled === true ? 1 : 0,
    );
  }

  find(diffID: Digest, mediaType: string): LayerBlob | undefined {
    const row = this.#db.get('SELECT * FROM layer_blobs WHERE diff_id = ? AND media_type = ?', diffID, mediaType);
    return row === undefined ? undefined : blobOf(row);
  }

  /** All of a layer, by media type. */
  list(diffID: Digest): readonly LayerBlob[] {
    return this.#db.all('SELECT * FROM layer_blobs WHERE diff_id = ? ORDER BY media_type', diffID).map(blobOf);
  }
}

function blobOf(row: Row): LayerBlob {
  return {
    mediaType: textColumn(row, 'media_type'),
    digest: parseDigest(textColumn(row, 'digest')),
    sizeBytes: numberColumn(row, 'size_bytes'),
    isPulled: numberColumn(row, 'is_pulled') === 1,
  };
}
