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
}

export class LayerBlobs {
  readonly #db: MetaDatabase;

  constructor(db: MetaDatabase) {
    this.#db = db;
  }

  /** Remembers a blob; the latest one of a media type counts. */
  save(diffID: Digest, blob: LayerBlob): void {
    this.#db.run(
      `INSERT INTO layer_blobs (diff_id, media_type, digest, size_bytes) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET digest = excluded.digest, size_bytes = excluded.size_bytes`,
      diffID,
      blob.mediaType,
      blob.digest,
      blob.sizeBytes,
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
  };
}
