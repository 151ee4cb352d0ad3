// Makes a small base image as an OCI layout from this machine's own shell, a few tools and the libraries they need,
// so that a real image can be built where no registry is in reach. Same machine, same bytes.
//   node .build/make-base.mjs DIRECTORY
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import tar from 'tar-stream';

const TOOLS = ['sh', 'cat', 'id', 'ls', 'mkdir', 'env', 'sleep', 'touch', 'rm', 'cp', 'date', 'pwd', 'true', 'false'];
const directory = process.argv[2] ?? 'dist/base';

const files = new Map();
for (const tool of TOOLS) addProgram(tool);
const config = writeLayout(await makeLayer(files));
console.log(`made ${directory} (${files.size} files, ${config})`);

function addProgram(tool) {
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .map((entry) => join(entry, tool))
    .find((entry) => existsSync(entry));
  if (!path) return;
  const real = realpathSync(path);
  files.set(`bin/${tool}`, { source: real, mode: 0o755 });
  for (const library of librariesOf(real)) files.set(library.slice(1), { source: realpathSync(library), mode: 0o755 });
}

function librariesOf(program) {
  try {
    const listing = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return [...listing.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]);
  } catch {
    return []; // a static program has none
  }
}

async function makeLayer(entries) {
  const pack = tar.pack();
  const stamp = new Date(0);
  const directories = new Set(['tmp', 'etc', 'root']);
  for (const name of entries.keys()) for (let at = dirname(name); at !== '.'; at = dirname(at)) directories.add(at);
  for (const name of [...directories].sort()) {
    pack.entry({ name: `${name}/`, type: 'directory', mode: name === 'tmp' ? 0o1777 : 0o755, mtime: stamp });
  }
  pack.entry(
    { name: 'etc/passwd', mode: 0o644, mtime: stamp },
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n',
  );
  pack.entry({ name: 'etc/group', mode: 0o644, mtime: stamp }, 'root:x:0:\nnogroup:x:65534:\n');
  for (const [name, { source, mode }] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    pack.entry({ name, mode, mtime: stamp }, readFileSync(source));
  }
  pack.finalize();
  const chunks = [];
  for await (const chunk of pack) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function writeLayout(layer) {
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true });
  const architecture = { x64: 'amd64' }[process.arch] ?? process.arch;
  const config = writeBlob(
    JSON.stringify({
      architecture,
      os: 'linux',
      config: { Cmd: ['/bin/sh'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
      history: [{ created_by: `${basename(import.meta.filename)}: this machine's own shell` }],
    }),
  );
  const blob = writeBlob(gzipSync(layer, { level: 6 }));
  const manifest = writeBlob(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...blob }],
    }),
  );
  const entry = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    ...manifest,
    annotations: { 'org.opencontainers.image.ref.name': 'latest' },
  };
  writeFileSync(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return config.digest;
}

function writeBlob(bytes) {
  const digest = sha256(bytes);
  writeFileSync(join(directory, 'blobs/sha256', digest), bytes);
  return { digest: `sha256:${digest}`, size: Buffer.byteLength(bytes) };
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}
