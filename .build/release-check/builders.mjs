// The two builders of the release check, with one way to call them: tsbuild, and a BuildKit behind `docker buildx` or
// `buildctl`. A build's steps are what it says of the Dockerfile's instructions: `[stage 1/2] RUN …`, and whether each was cached.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');
const STEP = /^\[(?!context |[^\]]*internal)[^\]]*\] (?!FROM )/;
/** The download of an ADD, which has the name of its step. */
const DOWNLOAD = /\] ADD .*:\/\//;

async function run(program, args, env = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
  const status = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  return { status, ...output };
}

/** Throws with the end of what it said. */
async function runWell(program, args, env) {
  const result = await run(program, args, env);
  if (result.status === 0) return result;
  throw new Error(`${program} ${args.join(' ')}\n${readable(result.stderr || result.stdout)}`);
}

function readable(text) {
  const errors = text.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  const logs = [...text.matchAll(/"data":"([^"]+)"/g)].map(([, data]) => Buffer.from(data, 'base64').toString());
  return [...logs, ...errors].slice(-12).join('\n');
}

/** Steps of a build from its rawjson progress. */
function stepsOf(text) {
  const steps = new Map();
  for (const line of text.split('\n')) {
    if (!line.startsWith('{')) continue;
    for (const { digest, name, cached, completed, inputs } of JSON.parse(line).vertexes ?? []) {
      if (!STEP.test(name) || (inputs === undefined && DOWNLOAD.test(name))) continue;
      const known = steps.get(digest);
      steps.set(digest, {
        name,
        isCached: cached === true || known?.isCached === true,
        isDone: completed !== undefined,
      });
    }
  }
  return [...steps.values()].filter(({ isDone }) => isDone);
}

/** The same from tsbuild's plain progress. */
function plainStepsOf(text) {
  const ends = new Map([...text.matchAll(/^#(\d+) (CACHED|DONE)/gm)].map(([, number, end]) => [number, end]));
  const names = new Map([...text.matchAll(/^#(\d+) (\[.*)$/gm)].map(([, number, name]) => [number, name]));
  return [...names].flatMap(([number, name]) =>
    STEP.test(name) && ends.has(number) ? [{ name, isCached: ends.get(number) === 'CACHED', isDone: true }] : [],
  );
}

function commonFlags({ buildArgs = {}, secretFiles = {}, addHosts = {}, ulimits = [], ...one }) {
  const pairs = (flag, record, join) => Object.entries(record).flatMap(([key, value]) => [flag, join(key, value)]);
  return [
    ...pairs('--build-arg', buildArgs, (key, value) => `${key}=${value}`),
    ...pairs('--secret', secretFiles, (id, path) => `id=${id},src=${path}`),
    ...pairs('--add-host', addHosts, (host, ip) => `${host}:${ip}`),
    ...pairs(
      '--build-context',
      one.contexts ?? {},
      (name, value) => `${name}=${value.replace(/^dir:/, `${one.directory}/`)}`,
    ),
    ...ulimits.flatMap((ulimit) => ['--ulimit', ulimit]),
    ...(one.shmSize === undefined ? [] : ['--shm-size', one.shmSize]),
    ...(one.target === undefined ? [] : ['--target', one.target]),
    ...(one.platform === undefined ? [] : ['--platform', one.platform]),
    ...(one.network === undefined ? [] : ['--network', one.network]),
  ];
}

const exchangeFlags = ({ from = [], to = [], output }) => [
  ...from.flatMap((spec) => ['--cache-from', spec]),
  ...to.flatMap((spec) => ['--cache-to', spec]),
  ...(output === undefined ? [] : ['--output', output]),
];

/** This checkout's command. Each build names its store. */
export class Tsbuild {
  async build(one, { store, ...exchange }) {
    const command = join(root, 'dist', 'tsbuild.js');
    const ssh = ['--ssh', `default=${one.sshKey}`];
    const args = ['build', '--progress=plain', ...ssh, ...commonFlags(one), ...exchangeFlags(exchange), one.directory];
    const { stderr } = await runWell(process.execPath, [command, ...args], { TSBUILD_ROOT: store });
    return { steps: plainStepsOf(stderr), text: stderr };
  }
}

/** `docker buildx` of the command given, which may name a host, with its default builder. */
export class Buildx {
  #program;
  #args;

  constructor(command) {
    [this.#program, ...this.#args] = command.split(/\s+/);
  }

  async version() {
    const { stdout } = await runWell(this.#program, [...this.#args, 'buildx', 'inspect']);
    const { stdout: engine } = await run(this.#program, [...this.#args, 'version', '-f', '{{.Server.Version}}']);
    return `${/^BuildKit version:\s*(\S+)/m.exec(stdout)?.[1] ?? 'unknown'} (docker ${engine.trim()})`;
  }

  async prune() {
    await runWell(this.#program, [...this.#args, 'buildx', 'prune', '--all', '--force']);
  }

  async build(one, exchange) {
    const network = one.network === 'host' ? ['--allow', 'network.host'] : [];
    const ssh = ['--ssh', `default=${one.sshKey}`];
    const flags = [...ssh, ...commonFlags(one), ...network, ...exchangeFlags(exchange)];
    const args = ['buildx', 'build', '--progress=rawjson', '--provenance=false', ...flags, one.directory];
    const { stderr } = await runWell(this.#program, [...this.#args, ...args]);
    return { steps: stepsOf(stderr), text: stderr };
  }
}

/** `buildctl` of the address given. */
export class Buildctl {
  #args;

  constructor(address) {
    this.#args = ['--addr', address];
  }

  async version() {
    const { stdout } = await runWell('buildctl', [...this.#args, 'debug', 'info']);
    return /v\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? 'unknown';
  }

  async prune() {
    await runWell('buildctl', [...this.#args, 'prune', '--all']);
  }

  async build(one, exchange) {
    const locals = ['--local', `context=${one.directory}`, '--local', `dockerfile=${one.directory}`];
    const flags = [...locals, ...frontendOptions(one), '--ssh', `default=${one.sshKey}`];
    const secrets = Object.entries(one.secretFiles ?? {}).flatMap(([id, path]) => ['--secret', `id=${id},src=${path}`]);
    const cache = [
      ...(exchange.from ?? []).flatMap((spec) => ['--import-cache', spec]),
      ...(exchange.to ?? []).flatMap((spec) => ['--export-cache', spec]),
      ...(exchange.output === undefined ? [] : ['--output', exchange.output]),
    ];
    const args = ['build', '--frontend=dockerfile.v0', '--progress=rawjson', ...flags, ...secrets, ...cache];
    const { stderr } = await runWell('buildctl', [...this.#args, ...args]);
    return { steps: stepsOf(stderr), text: stderr };
  }
}

function frontendOptions(one) {
  const contexts = Object.entries(one.contexts ?? {});
  const options = {
    ...Object.fromEntries(Object.entries(one.buildArgs ?? {}).map(([key, value]) => [`build-arg:${key}`, value])),
    ...Object.fromEntries(
      contexts.map(([name, value]) => [`context:${name}`, value.startsWith('dir:') ? `local:${name}` : value]),
    ),
    'add-hosts': Object.entries(one.addHosts ?? {})
      .map((pair) => pair.join('='))
      .join(','),
    ulimit: (one.ulimits ?? []).join(','),
    'shm-size': one.shmSize ?? '',
    target: one.target ?? '',
    platform: one.platform ?? '',
    'force-network-mode': one.network ?? '',
  };
  return [
    ...Object.entries(options).flatMap(([key, value]) => (value === '' ? [] : ['--opt', `${key}=${value}`])),
    ...contexts
      .filter(([, value]) => value.startsWith('dir:'))
      .flatMap(([name]) => ['--local', `${name}=${one.directory}`]),
    ...(one.network === 'host' ? ['--allow', 'network.host'] : []),
  ];
}
