import { spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DockerCredentials, dockerConfigPath } from '../../src/registry/credentials.ts';
import { processes } from '../sandbox/process-tree.ts';
import { basicAuth, dockerConfig, registryRig, rejection } from './registry-rig.ts';

describe('DockerCredentials', () => {
  const rig = registryRig();

  function credentials(config: unknown, helpers: Readonly<Record<string, string>> = {}): DockerCredentials {
    const directory = rig.directory();
    for (const [name, script] of Object.entries(helpers)) {
      const path = join(directory, `docker-credential-${name}`);
      writeFileSync(path, `#!/bin/sh\n${script}\n`);
      chmodSync(path, 0o755);
    }
    return new DockerCredentials(dockerConfig(directory, config));
  }

  it('finds a password under the host, whatever form the key has', async () => {
    const source = credentials({
      auths: {
        'one.example:5000': { auth: basicAuth('u', 'p:with:colons') },
        'https://two.example/v2/': { auth: basicAuth('v', 'q') },
        'three.example': { username: 'w', password: 'r' },
      },
    });
    expect(await source.lookup('one.example:5000')).toEqual({
      credentials: { kind: 'password', username: 'u', password: 'p:with:colons' },
    });
    expect(await source.lookup('two.example')).toEqual({
      credentials: { kind: 'password', username: 'v', password: 'q' },
    });
    expect(await source.lookup('three.example')).toEqual({
      credentials: { kind: 'password', username: 'w', password: 'r' },
    });
    expect(await source.lookup('one.example')).toEqual({});
  });

  it("knows Docker Hub's key, identity tokens and registry tokens", async () => {
    const source = credentials({
      auths: {
        'https://index.docker.io/v1/': { auth: basicAuth('u', ''), identitytoken: 'id' },
        'r.example': { registrytoken: 'reg' },
      },
    });
    expect(await source.lookup('docker.io')).toEqual({ credentials: { kind: 'identityToken', token: 'id' } });
    expect(await source.lookup('r.example')).toEqual({ credentials: { kind: 'registryToken', token: 'reg' } });
  });

  it('asks the helper of the host, else the store, else the file', async () => {
    const source = credentials(
      {
        auths: { 'c.example': { auth: basicAuth('file', 'f') } },
        credHelpers: { 'a.example': 'one' },
        credsStore: 'two',
      },
      {
        one: 'read host; echo "{\\"Username\\":\\"u-$host\\",\\"Secret\\":\\"s\\"}"',
        two: 'read host; [ "$host" = b.example ] || { echo "credentials not found in native keychain"; exit 1; }; echo \'{"Username":"<token>","Secret":"t"}\'',
      },
    );
    expect(await source.lookup('a.example')).toEqual({
      credentials: { kind: 'password', username: 'u-a.example', password: 's' },
    });
    expect(await source.lookup('b.example')).toEqual({ credentials: { kind: 'identityToken', token: 't' } });
    expect(await source.lookup('c.example')).toEqual({
      credentials: { kind: 'password', username: 'file', password: 'f' },
    });
  });

  it('goes on without a helper that fails, and says why', async () => {
    const source = credentials(
      { credHelpers: { 'a.example': 'missing', 'b.example': 'broken', 'c.example': '../evil', 'd.example': 'chatty' } },
      { broken: 'echo locked; exit 3', chatty: 'echo s3cret' },
    );
    expect(await source.lookup('a.example')).toEqual({ problem: 'docker-credential-missing: not found in PATH' });
    expect(await source.lookup('b.example')).toEqual({ problem: 'docker-credential-broken: locked (exit code 3)' });
    expect(await source.lookup('c.example')).toEqual({
      problem: '"docker-credential-../evil" is no name of a credential helper',
    });
    expect(await source.lookup('d.example')).toEqual({ problem: 'docker-credential-chatty: its answer is no JSON' });
  });

  it('ends a helper with the process that asked it, however that ends', async () => {
    const directory = rig.directory();
    const path = join(directory, 'docker-credential-slow');
    const pidFile = join(directory, 'pid');
    writeFileSync(path, `#!/bin/sh\necho $$ >${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 7301\n`);
    chmodSync(path, 0o755);
    const env = { ...process.env, ...dockerConfig(directory, { credsStore: 'slow' }) };
    const script = fileURLToPath(new URL('credentials-child.ts', import.meta.url));
    const child = spawn(process.execPath, [script, 'a.example'], { env, stdio: 'ignore' });
    await expect.poll(() => existsSync(pidFile), { timeout: 30_000 }).toBe(true);
    const helper = Number(readFileSync(pidFile, 'utf8'));
    expect(processes().get(helper)?.command).toContain('7301');
    child.kill('SIGKILL');
    await expect.poll(() => processes().has(helper), { timeout: 30_000 }).toBe(false);
  });

  it('finds nothing without a config file', async () => {
    expect(await new DockerCredentials({ DOCKER_CONFIG: rig.directory() }).lookup('a.example')).toEqual({});
    expect(dockerConfigPath({ HOME: '/home/ann' })).toBe('/home/ann/.docker/config.json');
  });

  it('refuses a config file that is no JSON without quoting it', async () => {
    const directory = rig.directory();
    const path = join(directory, 'config.json');
    writeFileSync(path, '{"auths": {"a.example": {"auth": "c2VjcmV0"');
    expect(await rejection(new DockerCredentials({ DOCKER_CONFIG: directory }).lookup('a.example'))).toEqual({
      code: 'TSB_REGISTRY_CONFIG_INVALID',
      message: `"${path}" is no valid JSON`,
      hint: 'mend it, or name another directory with DOCKER_CONFIG',
    });
  });
});
