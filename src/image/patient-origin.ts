// An origin that gives up when no byte comes for a while, however often those below would try again.
import { TsbuildError } from '../../solver/errors.ts';
import type { Descriptor } from './descriptor.ts';
import type { BlobOrigin, ReadBlobOptions } from './image-source.ts';

/** Blobs of `origin`; fails with TSB_LAYER_STALLED after `patienceMs` in which the reader waited in vain. */
export function patientOrigin(origin: BlobOrigin, name: string, patienceMs: number): BlobOrigin {
  return {
    readManifest: (descriptor, options) => origin.readManifest(descriptor, options),
    openBlob: (blob, options) => openPatiently(origin, blob, { ...options, name, patienceMs }),
  };
}

async function* openPatiently(
  origin: BlobOrigin,
  blob: Descriptor,
  { name, patienceMs, signal, ...options }: ReadBlobOptions & { readonly name: string; readonly patienceMs: number },
): AsyncGenerator<Uint8Array> {
  const controller = new AbortController();
  const both = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  const stalled = new TsbuildError(
    'TSB_LAYER_STALLED',
    `${name}: no byte of layer ${blob.digest} came in ${patienceMs / 1000} s`,
    { hint: 'check the network, and build again' },
  );
  const chunks = origin.openBlob(blob, { ...options, signal: both })[Symbol.asyncIterator]();
  try {
    for (;;) {
      const timer = setTimeout(() => controller.abort(stalled), patienceMs);
      const next = await chunks.next().finally(() => clearTimeout(timer));
      if (next.done === true) return;
      yield next.value;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw controller.signal.aborted ? stalled : error;
  } finally {
    await chunks.return?.();
  }
}
