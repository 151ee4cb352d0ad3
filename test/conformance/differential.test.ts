// The same Dockerfiles built by dockerd 20.10's BuildKit and by us: configs, histories and every file compared.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeRoot } from '../e2e/harness.ts';
import { REGISTRY } from '../needs.ts';
import { CASES, CONTEXT_SCRIPT } from './differential-cases.ts';
import { DIFFERENCES } from './differential-known.ts';
import { type ImageContents, readImage } from './image-tree.ts';

const DOCKER = '/usr/bin/docker';
const DOCKERD = '/usr/sbin/dockerd';
const BASE = `${REGISTRY}/library/busybox`;
const needs = [{ name: 'dockerd 20.10', isHere: hasReference() }, 'lab', 'setcap', 'xz', 'bzip2', 'tar'];

/** Dockerd and client of the 20.10 line: newer clients need a plugin, newer daemons are another reference. */
function hasReference(): boolean {
  return [DOCKER, DOCKERD].every(
    (program) =>
      existsSync(program) && spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.includes(' 20.10.'),
  );
}

describeRoot('the same as dockerd 20.10', { needs }, (caller) => {
  let place: string;
  let daemon: ChildProcess;
  let context: string;

  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'tsbuild-dockerd-'));
    daemon = startDaemon(place);
    context = join(place, 'context');
    mkdirSync(context);
    execFileSync('sh', ['-ec', CONTEXT_SCRIPT], { cwd: context });
    await daemonAnswers(place);
  });

  afterAll(async () => {
    if (daemon !== undefined && daemon.exitCode === null) {
      const closed = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      await closed;
    }
    if (place !== undefined) rmSync(place, { recursive: true, force: true });
  });

  it.each(CASES)('$name', async (given) => {
    const own = mkdtempSync(join(place, 'case-'));
    const dockerfile = join(own, 'Dockerfile');
    writeFileSync(dockerfile, given.dockerfile.replaceAll(/(FROM |--from=|ARG BASE=)B(?=\s)/g, `$1${BASE}`));
    if (given.ignore !== undefined) writeFileSync(`${dockerfile}.dockerignore`, given.ignore);
    const flags = ['-f', dockerfile, ...(given.flags ?? []), context];
    const [theirs, ours] = await Promise.all([
      buildWithDocker(place, own, flags),
      finished(
        caller.command[0] ?? '',
        caller.command[1] ?? '',
        ['build', '--progress=plain', '-o', `type=docker,dest=${own}/ours.tar`, ...flags],
        {
          HOME: caller.home,
          TSBUILD_ROOT: join(caller.home, 'store'),
        },
      ),
    ]);
    if (given.fails === true) {
      expect(theirs.status, theirs.text).not.toBe(0);
      expect(ours.status, ours.text).toBe(1);
      expect(ours.text).toMatch(/error: /);
      expect(ours.text).not.toMatch(/^ +at .*:\d+:\d+\)?$/m);
      return;
    }
    expect(theirs.status, theirs.text).toBe(0);
    expect(ours.status, ours.text).toBe(0);
    const different = compareImages(await readImage(join(own, 'theirs.tar')), await readImage(join(own, 'ours.tar')));
    expect(different).toEqual(DIFFERENCES[given.name]?.lines ?? []);
    rmSync(own, { recursive: true, force: true });
  });
});

interface Finished {
  readonly status: number | null;
  readonly text: string;
}

async function finished(
  program: string,
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Finished> {
  const child = spawn(program, script === '' ? args : [script, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += bytes));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, text };
}

function buildWithDocker(place: string, own: string, flags: readonly string[]): Promise<Finished> {
  const tag = own.toLowerCase().replaceAll(/[^a-z0-9]+/g, 'x');
  const docker = `${DOCKER} -H unix://${place}/socket`;
  const script = `${docker} build --network=host -t ${tag} "$@" && ${docker} save -o ${own}/theirs.tar ${tag}`;
  return finished('/bin/sh', '', ['-c', script, 'sh', ...flags], { HOME: place, DOCKER_BUILDKIT: '1' });
}

function startDaemon(place: string): ChildProcess {
  const log = openSync(join(place, 'log'), 'w');
  const paths = ['--data-root', `${place}/data`, '--exec-root', `${place}/exec`, '-p', `${place}/pid`];
  const args = ['--iptables=false', '--bridge=none', ...paths, '-H', `unix://${place}/socket`];
  return spawn(DOCKERD, args, { stdio: ['ignore', log, log] });
}

async function daemonAnswers(place: string): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if ((await finished(DOCKER, '', ['-H', `unix://${place}/socket`, 'info'], {})).status === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`dockerd does not answer: ${readFileSync(join(place, 'log'), 'utf8').slice(-2000)}`);
}

function compareImages(theirs: ImageContents, ours: ImageContents): readonly string[] {
  const different: string[] = [];
  const compare = (name: string, a: unknown, b: unknown): void => {
    const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
    if (left !== right) different.push(`${name}: ${left} <> ${right}`);
  };
  for (const key of new Set([...Object.keys(theirs.config), ...Object.keys(ours.config)])) {
    compare(key, theirs.config[key], ours.config[key]);
  }
  const [theirHistory, ourHistory] = [theirs.history.map(olderStep), ours.history.map(olderStep)];
  for (const [index, line] of theirHistory.entries()) compare(`history ${index}`, line, ourHistory[index]);
  compare('history length', theirs.history.length, ours.history.length);
  for (const path of new Set([...theirs.files.keys(), ...ours.files.keys()])) {
    compare(path, theirs.files.get(path), ours.files.get(path));
  }
  return different;
}

/** What 20.10 and later versions write alike: they show arguments, ports, health checks and flags of COPY differently. */
function olderStep(line: string): string {
  return line
    .replace(/^(ARG|EXPOSE|HEALTHCHECK) .*?( \| )/, '$1$2')
    .replace(/^RUN \|\d+ .*? (\/bin\/)/, 'RUN $1')
    .replace(/^(COPY|ADD)( --\w+=\S+)+/, '$1');
}
