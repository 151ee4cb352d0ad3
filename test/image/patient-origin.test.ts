import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import type { BlobOrigin } from '../../src/image/image-source.ts';
import { patientOrigin } from '../../src/image/patient-origin.ts';

const BLOB = { mediaType: 'application/octet-stream', digest: digestOf('blob'), size: 3 };

/** Gives a byte, and another one when it is told to; ends with its signal. */
function origin(more: Promise<void>): BlobOrigin {
  return {
    readManifest: () => Promise.reject(new Error('no manifests')),
    openBlob: async function* (_, { signal } = {}) {
      yield Buffer.of(1);
      signal?.throwIfAborted();
      const ended = new Promise<never>((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('cut off')));
      });
      await Promise.race([more, ended]);
      yield Buffer.of(2);
    },
  };
}

async function read(from: BlobOrigin, signal?: AbortSignal): Promise<readonly number[]> {
  const bytes: number[] = [];
  for await (const chunk of from.openBlob(BLOB, signal === undefined ? {} : { signal })) bytes.push(...chunk);
  return bytes;
}

describe('an origin that is waited for patiently', () => {
  it('gives what comes', async () => {
    expect(await read(patientOrigin(origin(Promise.resolve()), 'place', 600_000))).toEqual([1, 2]);
  });

  it('is given up when no byte comes for that long', async () => {
    await expect(read(patientOrigin(origin(new Promise(() => {})), 'place', 20))).rejects.toMatchObject({
      code: 'TSB_LAYER_STALLED',
      message: `place: no byte of layer ${BLOB.digest} came in 0.02 s`,
    });
  });

  it('passes an interruption on as such', async () => {
    const controller = new AbortController();
    const reading = read(patientOrigin(origin(new Promise(() => {})), 'place', 600_000), controller.signal);
    controller.abort(new Error('interrupted'));
    await expect(reading).rejects.toThrow('interrupted');
  });
});
