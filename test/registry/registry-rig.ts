// Real registries on free ports, proxies in front of them that misbehave on demand, and small images to pull.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll } from 'vitest';
import { RegistryClient, type RegistryClientOptions } from '../../src/registry/registry-client.ts';

/** What the tests that start a registry of their own need. */
export const REGISTRY_PROGRAM = 'docker-registry';

export interface RunningRegistry {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  /** The certificate of a TLS registry, in PEM. */
  readonly ca: string;
  stop(): Promise<void>;
}

interface RegistryOptions {
  readonly auth?: 'basic' | { readonly realm: string; readonly rootCertificate: string };
  readonly isTls?: boolean;
}

export const USER = 'ann';
export const PASSWORD = 'p:ss wörd';

interface RegistryRig {
  directory(): string;
  start(options?: RegistryOptions): Promise<RunningRegistry>;
  proxy(target: string, behaviour: ProxyBehaviour): Promise<Proxy>;
  /** A server of one's own; gives its host. */
  serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string>;
  client(options?: RegistryClientOptions): RegistryClient;
}

/** Call it inside `describe`; everything ends with it. */
export function registryRig(): RegistryRig {
  const cleanups: (() => unknown)[] = [];
  afterAll(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });
  const directory = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'tsbuild-registry-'));
    cleanups.push(() => rmSync(path, { recursive: true, force: true }));
    return path;
  };
  const serve = async (answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> => {
    const server = createServer(answer);
    await listen(server);
    cleanups.push(() => closeServer(server));
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  return {
    directory,
    serve,
    start: async (options = {}) => {
      const running = await startRegistry(directory(), options);
      cleanups.push(() => running.stop());
      return running;
    },
    proxy: async (target, behaviour) => {
      const requests: string[] = [];
      const host = await serve((incoming, outgoing) => {
        requests.push(
          `${incoming.method} ${incoming.url}${incoming.headers.range ? ` ${incoming.headers.range}` : ''}`,
        );
        if (!behaviour(incoming, outgoing, requests.length)) forward(target, incoming, outgoing);
      });
      return { host, requests };
    },
    client: (options = {}) => {
      const client = new RegistryClient({
        retry: { attempts: 4, baseMs: 1, maxMs: 2000 },
        environment: {},
        ...options,
      });
      cleanups.push(() => client.close());
      return client;
    },
  };
}

/** True when it has answered itself; the number counts requests from 1. */
type ProxyBehaviour = (request: IncomingMessage, response: ServerResponse, count: number) => boolean;

interface Proxy {
  readonly host: string;
  /** `GET /v2/… bytes=…` in their order. */
  readonly requests: readonly string[];
}

/** Passes the request on; `change` may alter the answer's bytes. */
export function forward(
  target: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  change?: (body: IncomingMessage, outgoing: ServerResponse) => void,
): void {
  const [hostname, port] = target.split(':');
  const { method, url, headers } = incoming;
  const passed = request({ hostname, port, method, path: url, headers: { ...headers, host: target } }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
    if (change === undefined) answer.pipe(outgoing);
    else change(answer, outgoing);
  });
  passed.on('error', () => outgoing.destroy());
  incoming.pipe(passed);
}

/** A `config.json` that knows the user of the rig's registries; gives the environment that names it. */
export function dockerConfig(directory: string, config: unknown): Readonly<Record<string, string>> {
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  return { DOCKER_CONFIG: directory, PATH: `${directory}:${process.env.PATH ?? ''}`, HOME: directory };
}

export function basicAuth(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString('base64');
}

/** Code, text and hint of what the promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<{ code: unknown; message: string; hint: unknown }> {
  const error: unknown = await promise.then(
    () => new Error('nothing was thrown'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Error)) throw new Error(`not an error: ${String(error)}`);
  return {
    code: 'code' in error ? error.code : error.name,
    message: error.message,
    hint: 'hint' in error ? error.hint : undefined,
  };
}

/** A port where nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await listen(server);
  const { port } = server.address() as AddressInfo;
  await closeServer(server);
  return port;
}

export function makeCertificate(directory: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  const form = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...form, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
  return { cert, key };
}

async function startRegistry(directory: string, options: RegistryOptions): Promise<RunningRegistry> {
  const port = await freePort();
  const { cert, key } = makeCertificate(directory);
  const config = {
    version: '0.1',
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: `127.0.0.1:${port}`, ...(options.isTls && { tls: { certificate: cert, key } }) },
    ...authConfig(directory, options),
  };
  // JSON is YAML.
  const path = join(directory, 'registry.yml');
  writeFileSync(path, JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', path], { stdio: 'ignore' });
  await waitForPort(port, child);
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  };
  return { host: `127.0.0.1:${port}`, ca: readFileSync(cert, 'utf8'), stop };
}

function authConfig(directory: string, { auth }: RegistryOptions): object {
  if (auth === undefined) return {};
  if (auth !== 'basic') {
    const { realm, rootCertificate } = auth;
    return {
      auth: { token: { realm, service: 'test-registry', issuer: 'test-issuer', rootcertbundle: rootCertificate } },
    };
  }
  const path = join(directory, 'htpasswd');
  writeFileSync(path, `${USER}:${bcrypt(PASSWORD)}\n`);
  return { auth: { htpasswd: { realm: 'test', path } } };
}

/** The C library's crypt(3) knows bcrypt; Perl is on every Debian. */
function bcrypt(password: string): string {
  const script = 'print crypt($ARGV[0], q($2y$05$abcdefghijklmnopqrstuu))';
  return execFileSync('perl', ['-e', script, password], { encoding: 'utf8' });
}

async function waitForPort(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (isOpen) return;
    await sleep(20);
  }
  throw new Error(`docker-registry does not listen on ${port}`);
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
