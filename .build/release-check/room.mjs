// What the cases need around them: directories, secrets, an SSH key, a tar archive, and a server for ADD.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const SERVED = 'served\n';
const LAST_MODIFIED = 'Tue, 02 Jan 2024 03:04:05 GMT';

/** A directory for everything, removed at the end. */
export class Room {
  directory = mkdtempSync(join(tmpdir(), 'tsbuild-release-check-'));
  checksum = `sha256:${createHash('sha256').update(SERVED).digest('hex')}`;
  #server;

  /** Starts the server; its address. */
  async serve() {
    this.#makeArchive(join(this.directory, 'tree.tar'));
    const archive = readFileSync(join(this.directory, 'tree.tar'));
    this.#server = createServer((request, response) => {
      response.setHeader('Last-Modified', LAST_MODIFIED);
      response.end(request.method === 'HEAD' ? '' : request.url === '/tree.tar' ? archive : SERVED);
    });
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  close({ isKept }) {
    this.#server?.close();
    this.#server?.closeAllConnections();
    if (!isKept) rmSync(this.directory, { recursive: true, force: true });
  }

  path(name) {
    return join(this.directory, name);
  }

  /** The case with its context on disk. */
  lay(one) {
    const directory = this.path(`${one.name}-context`);
    for (const [path, content] of Object.entries({ ...one.files, Dockerfile: one.dockerfile })) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), content);
      chmodSync(join(directory, path), path.endsWith('.sh') ? 0o755 : 0o644);
      utimesSync(join(directory, path), 1_700_000_000, 1_700_000_000);
    }
    for (const [path, target] of Object.entries(one.links ?? {})) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      symlinkSync(target, join(directory, path));
    }
    if (one.archive !== undefined) this.#makeArchive(join(directory, one.archive));
    const secretFiles = Object.fromEntries(
      Object.entries(one.secrets ?? {}).map(([id, value]) => {
        writeFileSync(this.path(`secret-${id}`), value);
        return [id, this.path(`secret-${id}`)];
      }),
    );
    return { ...one, directory, secretFiles, sshKey: this.#sshKey() };
  }

  #sshKey() {
    const path = this.path('key');
    try {
      readFileSync(path);
    } catch {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);
    }
    return path;
  }

  #makeArchive(path) {
    const tree = this.path('tree');
    mkdirSync(join(tree, 'sub'), { recursive: true });
    writeFileSync(join(tree, 'sub', 'file'), 'packed\n');
    const options = ['--sort=name', '--owner=0', '--group=0', '--mtime=@1700000000', '-C', tree, '.'];
    execFileSync('tar', ['-cf', path, ...options]);
  }
}

/** Everything in a tar archive but times: mode, owner, size, path, link; and the content of files. */
export function listArchive(path) {
  const files = `${path}-files`;
  mkdirSync(files);
  execFileSync('tar', ['-xf', path, '-C', files, '--no-same-owner', '--exclude=dev/*']);
  const listed = execFileSync('tar', ['--numeric-owner', '-tvf', path], { encoding: 'utf8', maxBuffer: 1 << 28 });
  return listed
    .trim()
    .split('\n')
    .map((line) => {
      const [mode, owner, size, , , ...name] = line.split(/\s+/);
      return `${mode} ${owner} ${size} ${name.join(' ')} ${mode.startsWith('-') ? hashOf(join(files, name[0])) : ''}`;
    })
    .sort();
}

function hashOf(path) {
  return existsSync(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
}
