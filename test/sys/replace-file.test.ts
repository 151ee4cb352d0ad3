import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceFile, replaceWithCopy } from '../../src/sys/replace-file.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsbuild-replace-'));
});

afterEach(() => rmSync(dir, { recursive: true }));

describe('replacing a file', () => {
  it('leaves the new bytes alone under the name', () => {
    replaceFile(join(dir, 'a'), Buffer.from('old'));
    replaceFile(join(dir, 'a'), Buffer.from('new'));
    replaceWithCopy(join(dir, 'b'), join(dir, 'a'));
    expect(readdirSync(dir)).toEqual(['a', 'b']);
    expect(['a', 'b'].map((name) => readFileSync(join(dir, name), 'utf8'))).toEqual(['new', 'new']);
  });

  it('leaves what was there, and nothing else, when it fails', () => {
    mkdirSync(join(dir, 'a'));
    writeFileSync(join(dir, 'a/kept'), '');
    expect(() => replaceFile(join(dir, 'a'), Buffer.from('new'))).toThrow('EISDIR');
    expect(() => replaceWithCopy(join(dir, 'b'), join(dir, 'none'))).toThrow('ENOENT');
    expect(readdirSync(dir, { recursive: true }).toSorted()).toEqual(['a', 'a/kept']);
  });
});
