import { describe, expect, it } from 'vitest';
import type { HistoryEntry, ImageConfig } from '../../frontend/image-config.ts';
import { digestOf } from '../../solver/digest.ts';
import { completeConfig } from '../../src/image/complete-config.ts';
import { formatTimestamp, toWholeSeconds } from '../../src/image/timestamp.ts';

const BASE = '2020-01-01T00:00:00.123456789Z';
const config = (history: readonly HistoryEntry[], created?: string): ImageConfig => ({
  architecture: 'amd64',
  os: 'linux',
  config: {},
  rootfs: { type: 'layers', diff_ids: [] },
  history,
  ...(created === undefined ? {} : { created }),
});
const layer = (second: number) => ({ diffID: digestOf(`layer ${second}`), createdAtMs: second * 1000 });
const at = (second: number): string => formatTimestamp(second * 1000);

describe('completeConfig', () => {
  it('gives own entries the times of their layers, and the image that of the last', () => {
    const completed = completeConfig(
      config([
        { created: BASE, created_by: 'base' },
        { created_by: 'ENV a', empty_layer: true },
        { created_by: 'COPY' },
        { created_by: 'USER', empty_layer: true },
        { created_by: 'RUN' },
        { created_by: 'CMD', empty_layer: true },
      ]),
      [layer(1), layer(20), layer(30)],
    );
    expect(completed.history.map(({ created }) => created)).toEqual([BASE, at(20), at(20), at(20), at(30), at(30)]);
    expect(completed.created).toBe(at(30));
    expect(completed.rootfs.diff_ids).toEqual([1, 20, 30].map((second) => layer(second).diffID));
  });

  it('takes the time of the last base layer when nothing new has a layer', () => {
    const completed = completeConfig(config([{ created: BASE }, { created_by: 'CMD', empty_layer: true }]), [layer(1)]);
    expect(completed.history.map(({ created }) => created)).toEqual([BASE, BASE]);
  });

  it('adds entries for layers that history does not tell of', () => {
    expect(completeConfig(config([{ created: BASE }]), [layer(1), layer(2)]).history).toEqual([
      { created: BASE },
      { created: at(2), comment: 'buildkit.exporter.image.v0' },
    ]);
  });

  it('counts entries without a layer as empty', () => {
    expect(completeConfig(config([{ created: BASE }, { created: BASE }]), [layer(1)]).history).toEqual([
      { created: BASE },
      { created: BASE, empty_layer: true },
    ]);
  });

  it('takes SOURCE_DATE_EPOCH for everything made here', () => {
    const completed = completeConfig(config([{ created: BASE }, { empty_layer: true }, {}]), [layer(1), layer(2)], {
      sourceDateEpoch: 1_700_000_000,
    });
    const epoch = '2023-11-14T22:13:20Z';
    expect(completed.history.map(({ created }) => created)).toEqual([BASE, epoch, epoch]);
    expect(completed.created).toBe(epoch);
  });

  it('leaves an image without layers and history without a time', () => {
    expect(completeConfig(config([]), [])).toEqual(config([]));
  });
});

describe('formatTimestamp', () => {
  it('writes no trailing zeros', () => {
    expect([1_700_000_000_120, 1_700_000_000_000, 1].map(formatTimestamp)).toEqual([
      '2023-11-14T22:13:20.12Z',
      '2023-11-14T22:13:20Z',
      '1970-01-01T00:00:00.001Z',
    ]);
    expect(toWholeSeconds(BASE)).toBe('2020-01-01T00:00:00Z');
    expect(toWholeSeconds('')).toBeUndefined();
  });
});
