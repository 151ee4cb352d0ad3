// What every ContentStore must do.
import { readFileSync, writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Digest, digestHex, digestOf } from '../../solver/digest.ts';
import type { ContentStore } from '../../src/content/content-store.ts';

/** `create` makes an empty store for one test. */
export function contentStoreSuite(name: string, create: () => ContentStore): void {
  describe(`${name} as a ContentStore`, () => {
    let content: ContentStore;
    beforeEach(() => {
      content = create();
    });
    const bytes = Buffer.from('some bytes of a blob');
    const expected = { digest: digestOf(bytes), size: bytes.length };
    const absent = digestOf('absent');

    it('puts bytes under their digest, once or twice', async () => {
      expect(content.put(bytes)).toBe(expected.digest);
      expect(content.put(bytes)).toBe(expected.digest);
      expect(content.has(expected.digest)).toBe(true);
      expect(content.sizeOf(expected.digest)).toBe(bytes.length);
      expect(content.read(expected.digest)).toEqual(bytes);
      expect(await buffer(content.open(expected.digest))).toEqual(bytes);
      expect(readFileSync(content.pathOf(expected.digest))).toEqual(bytes);
    });

    it('keeps the empty blob', async () => {
      const digest = content.put(Buffer.alloc(0));
      expect(content.has(digest)).toBe(true);
      expect(await buffer(content.open(digest))).toHaveLength(0);
    });

    it('says what it does not have', () => {
      const text = `blob ${absent} is not in the store`;
      expect(content.has(absent)).toBe(false);
      expect(content.sizeOf(absent)).toBeUndefined();
      expect(() => content.read(absent)).toThrow(text);
      expect(() => content.open(absent)).toThrow(text);
    });

    it('notices damage on every read', async () => {
      content.put(bytes);
      writeFileSync(content.pathOf(expected.digest), 'other');
      const text = `blob ${expected.digest} has digest ${digestOf('other')}`;
      expect(() => content.read(expected.digest)).toThrow(text);
      await expect(buffer(content.open(expected.digest))).rejects.toThrow(text);
    });

    it('repairs a blob of the wrong size when it is put again', () => {
      content.put(bytes);
      writeFileSync(content.pathOf(expected.digest), 'other');
      content.put(bytes);
      expect(content.read(expected.digest)).toEqual(bytes);
    });

    it('ingests a stream and does not ask for what it has', async () => {
      await content.ingest(expected, async (offset) => chunks(bytes, offset));
      expect(content.read(expected.digest)).toEqual(bytes);
      await content.ingest(expected, () => Promise.reject(new Error('asked')));
    });

    it('resumes where a failed ingest stopped', async () => {
      const cut = content.ingest(expected, async () => failing(bytes.subarray(0, 7)));
      await expect(cut).rejects.toThrow('connection lost');
      expect(content.has(expected.digest)).toBe(false);
      const offsets: number[] = [];
      await content.ingest(expected, async (offset) => {
        offsets.push(offset);
        return chunks(bytes, offset);
      });
      expect(offsets).toEqual([7]);
      expect(content.read(expected.digest)).toEqual(bytes);
    });

    it('says how far a blob got that ended early, and goes on from there', async () => {
      await expect(content.ingest(expected, async () => chunks(bytes.subarray(0, 5), 0))).rejects.toMatchObject({
        code: 'TSB_CONTENT_INCOMPLETE',
        message: `blob ${expected.digest} ended after 5 of ${bytes.length} bytes`,
      });
      await content.ingest(expected, async (offset) => chunks(bytes, offset));
      expect(content.has(expected.digest)).toBe(true);
    });

    it('refuses other bytes and keeps none of them', async () => {
      const other = Buffer.alloc(bytes.length, 1);
      await expect(content.ingest(expected, async () => chunks(other, 0))).rejects.toMatchObject({
        code: 'TSB_CONTENT_DIGEST_MISMATCH',
        message: `blob ${expected.digest} has digest ${digestOf(other)}`,
      });
      const offsets: number[] = [];
      await content.ingest(expected, async (offset) => {
        offsets.push(offset);
        return chunks(bytes, offset);
      });
      expect(offsets).toEqual([0]);
    });

    it('refuses more bytes than announced', async () => {
      await expect(
        content.ingest(expected, async () => chunks(Buffer.concat([bytes, bytes]), 0)),
      ).rejects.toMatchObject({
        code: 'TSB_CONTENT_DIGEST_MISMATCH',
        message: `blob ${expected.digest} has more than its ${bytes.length} bytes`,
      });
    });

    it('starts again when the resumed half was wrong', async () => {
      const wrong = Buffer.alloc(7, 1);
      await expect(content.ingest(expected, async () => failing(wrong))).rejects.toThrow('connection lost');
      await content.ingest(expected, async (offset) => chunks(bytes, offset));
      expect(content.read(expected.digest)).toEqual(bytes);
    });

    it('stops when the signal says so', async () => {
      const abort = new AbortController();
      const stopped = content.ingest(
        expected,
        async () =>
          (async function* () {
            yield bytes.subarray(0, 3);
            abort.abort(new Error('stopped'));
            yield bytes.subarray(3);
          })(),
        abort.signal,
      );
      await expect(stopped).rejects.toThrow('stopped');
      expect(content.has(expected.digest)).toBe(false);
      await expect(content.ingest(expected, async () => chunks(bytes, 0), abort.signal)).rejects.toThrow('stopped');
    });

    it('fetches once for several who want the same blob at the same time', async () => {
      let fetches = 0;
      const from = async (offset: number): Promise<AsyncIterable<Uint8Array>> => {
        fetches += 1;
        return chunks(bytes, offset);
      };
      await Promise.all([1, 2, 3].map(() => content.ingest(expected, from)));
      expect(fetches).toBe(1);
    });

    it('lets another caller go on when the first one fails', async () => {
      const first = content.ingest(expected, async () => failing(bytes.subarray(0, 4)));
      const second = content.ingest(expected, async (offset) => chunks(bytes, offset));
      await expect(first).rejects.toThrow('connection lost');
      await second;
      expect(content.read(expected.digest)).toEqual(bytes);
    });

    it('receives a stream whose digest is not known beforehand, once or twice', async () => {
      for (let i = 0; i < 2; i += 1) expect(await content.receive(chunks(bytes, 0))).toEqual(expected);
      expect(content.read(expected.digest)).toEqual(bytes);
      expect((await content.receive(chunks(Buffer.alloc(0), 0))).size).toBe(0);
    });

    it('keeps nothing of a received stream that fails or is stopped', async () => {
      await expect(content.receive(failing(bytes))).rejects.toThrow('connection lost');
      const stopped = content.receive(chunks(bytes, 0), AbortSignal.abort());
      await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
      expect(content.has(expected.digest)).toBe(false);
    });

    it('adopts a file written in its temporary directory, once or twice', () => {
      for (let i = 0; i < 2; i += 1) {
        const path = content.temporaryPath();
        writeFileSync(path, bytes);
        content.adopt(path, expected.digest);
      }
      expect(content.read(expected.digest)).toEqual(bytes);
      expect(new Set([content.temporaryPath(), content.temporaryPath()]).size).toBe(2);
    });

    it('lays blobs out as an OCI layout does', () => {
      const digest: Digest = content.put(bytes);
      expect(content.pathOf(digest).endsWith(`/blobs/sha256/${digestHex(digest)}`)).toBe(true);
    });
  });
}

async function* chunks(bytes: Uint8Array, offset: number): AsyncGenerator<Uint8Array> {
  for (let at = offset; at < bytes.length; at += 3) yield bytes.subarray(at, Math.min(at + 3, bytes.length));
}

async function* failing(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
  throw new Error('connection lost');
}
