import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkArchiveDest, writeDestination } from '../../src/export/destination.ts';
import { thrown } from '../store/store-rig.ts';

describe('writeDestination', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-dest-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const stdout = new PassThrough();
  const two = (): Iterable<Uint8Array> => [Buffer.from('a'), Buffer.from('b')];

  it('replaces a file when all is written', async () => {
    const dest = join(dir, 'x.tar');
    writeFileSync(dest, 'old');
    await writeDestination(dest, two(), { stdout });
    expect(readFileSync(dest, 'utf8')).toBe('ab');
    expect(readdirSync(dir)).toEqual(['x.tar']);
  });

  it('leaves the former file, and no other, when the source fails or the build is stopped', async () => {
    const dest = join(dir, 'x.tar');
    writeFileSync(dest, 'old');
    const failing = function* (): Generator<Uint8Array> {
      yield Buffer.from('new');
      throw new Error('no more');
    };
    await expect(writeDestination(dest, failing(), { stdout })).rejects.toThrow('no more');
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(writeDestination(dest, two(), { stdout, signal })).rejects.toThrow('stopped');
    expect(readFileSync(dest, 'utf8')).toBe('old');
    expect(readdirSync(dir)).toEqual(['x.tar']);
  });

  it('writes into a device instead of replacing it', async () => {
    await writeDestination('/dev/null', two(), { stdout });
    const link = join(dir, 'null');
    symlinkSync('/dev/null', link);
    await writeDestination(link, two(), { stdout });
    expect(readdirSync(dir)).toEqual(['null']);
  });

  it('writes to stdout and waits for its reader', async () => {
    const pipe = new PassThrough({ highWaterMark: 1 });
    const read = buffer(pipe);
    await writeDestination('-', two(), { stdout: pipe });
    pipe.end();
    expect((await read).toString()).toBe('ab');
  });

  it('says that the reader of stdout has gone', async () => {
    const closed = new Writable({
      write(_chunk, _encoding, done) {
        done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      },
    });
    await expect(writeDestination('-', two(), { stdout: closed })).rejects.toMatchObject({
      code: 'TSB_OUTPUT_WRITE_FAILED',
      message: 'cannot write stdout: the reader has closed the pipe',
    });
  });

  it('says that the disk is full', async () => {
    await expect(writeDestination('/dev/full', two(), { stdout })).rejects.toMatchObject({
      code: 'TSB_OUTPUT_WRITE_FAILED',
      message: 'cannot write "/dev/full": no space left on the device',
    });
  });

  it('refuses what can be no archive before a byte is made', () => {
    mkdirSync(join(dir, 'sub'));
    const refusal = (dest: string, isTTY = false): unknown => thrown(() => checkArchiveDest(dest, { isTTY }));
    expect(refusal(join(dir, 'sub'))).toEqual({
      code: 'TSB_OUTPUT_DEST_INVALID',
      message: `invalid output destination "${dir}/sub": "${dir}/sub" is a directory`,
      hint: 'give a file name, or tar=false for a directory',
    });
    expect(refusal(join(dir, 'none/x.tar'))).toEqual({
      code: 'TSB_OUTPUT_DEST_INVALID',
      message: `invalid output destination "${dir}/none/x.tar": the directory "${dir}/none" does not exist`,
      hint: 'make it first',
    });
    expect(refusal('-', true)).toEqual({
      code: 'TSB_OUTPUT_DEST_INVALID',
      message: 'invalid output destination "-": refusing to write an archive to the terminal',
      hint: 'send it to a file or a pipe',
    });
    checkArchiveDest('-', {});
  });
});
