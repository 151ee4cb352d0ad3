// Run as `unshare --user … node apply-rootless.ts <dir>`: applies <dir>/layer.tar as the root of a user namespace.
import { createReadStream, writeSync } from 'node:fs';
import { join } from 'node:path';
import { writeLayer } from '../../src/diff/layer-tar.ts';
import { applyLayer } from '../../src/diff/tar-applier.ts';

const dir = process.argv[2] ?? '';
const dirs = { upperDir: join(dir, 'upper'), lowerDirs: [join(dir, 'lower')] };
const result = await applyLayer(createReadStream(join(dir, 'layer.tar')), dirs, { isRootless: true });
writeSync(1, JSON.stringify({ ...result, again: Buffer.concat([...writeLayer(dirs)]).toString('latin1') }));
