// A real application on Debian, checked with tools of others.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { describeCallers, outputOf, PROJECT, REGISTRY } from './harness.ts';

const needs = ['root', 'lab', 'skopeo', 'umoci', 'runc', 'dockerd'];
const PRINTED = 'greet: uid 1000\nbuilt with tsbuild\n';

describeCallers('fixtures/debian-app', { needs }, (caller) => {
  let archive: string;
  beforeAll(() => {
    archive = join(caller.home, 'app.oci.tar');
    const docker = join(caller.home, 'app.docker.tar');
    const result = caller.tsbuild(
      [
        'build',
        '--progress=plain',
        '-t',
        'debian-app:1',
        '--build-arg',
        `BASE=${REGISTRY}/library/debian:bookworm`,
        '-o',
        `type=oci,dest=${archive}`,
        '-o',
        `type=docker,dest=${docker}`,
        join(PROJECT, 'fixtures/debian-app'),
      ],
      { timeoutMs: 600_000 },
    );
    expect(result.status, outputOf(result)).toBe(0);
  }, 900_000);

  it('passes skopeo inspect', () => {
    const inspected = JSON.parse(
      execFileSync('skopeo', ['inspect', '--config', `oci-archive:${archive}`], { encoding: 'utf8' }),
    );
    expect(inspected.config).toMatchObject({ User: 'app', WorkingDir: '/home/app', Cmd: ['greet', 'motd.txt'] });
    expect(inspected.rootfs.diff_ids).toHaveLength(6);
  });

  it('runs after umoci unpack with runc', () => {
    const place = mkdtempSync(join(tmpdir(), 'tsbuild-bundle-'));
    try {
      execFileSync('skopeo', ['copy', '-q', `oci-archive:${archive}`, `oci:${place}/layout:app`]);
      execFileSync('umoci', ['unpack', '--image', `${place}/layout:app`, `${place}/bundle`]);
      const config = JSON.parse(readFileSync(`${place}/bundle/config.json`, 'utf8'));
      config.process.terminal = false;
      writeFileSync(`${place}/bundle/config.json`, JSON.stringify(config));
      const ran = spawnSync('runc', ['run', '--bundle', `${place}/bundle`, `tsbuild-${process.pid}`], {
        encoding: 'utf8',
        input: '',
      });
      expect(`${ran.stdout}${ran.stderr}`).toBe(PRINTED);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });

  it('runs after docker load', async () => {
    const docker = await startDocker();
    try {
      docker.run('load', '-i', join(caller.home, 'app.docker.tar'));
      expect(docker.run('run', '--rm', '--network=none', 'debian-app:1')).toBe(PRINTED);
    } finally {
      await docker.stop();
    }
  });
});

/** A Docker daemon of its own on a socket in a temporary directory. */
async function startDocker() {
  const place = mkdtempSync(join(tmpdir(), 'tsbuild-dockerd-'));
  const socket = join(place, 'sock');
  const flags = [
    '--iptables=false',
    '--bridge=none',
    '--data-root',
    `${place}/data`,
    '--exec-root',
    `${place}/exec`,
    '-p',
    `${place}/pid`,
    '-H',
    `unix://${socket}`,
  ];
  const daemon = spawn('dockerd', flags, { stdio: 'ignore' });
  const run = (...args: string[]): string =>
    execFileSync('/usr/bin/docker', ['-H', `unix://${socket}`, ...args], { encoding: 'utf8' });
  const isUp = (): boolean =>
    existsSync(socket) && spawnSync('/usr/bin/docker', ['-H', `unix://${socket}`, 'version']).status === 0;
  for (let tries = 0; tries < 300 && !isUp(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 100));
  return {
    run,
    stop: async () => {
      const ended = new Promise((resolve) => daemon.on('exit', resolve));
      daemon.kill('SIGTERM');
      await ended;
      rmSync(place, { recursive: true, force: true });
    },
  };
}
