import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { deniedError, mapArguments, parseRanges } from '../../src/sandbox/user-namespace.ts';

describe('parseRanges', () => {
  it('finds the ranges of a user by name and by number', () => {
    const text = 'other:1:2\napp:100000:65536\n1000:300000:10\napp:x:5\n';
    expect(parseRanges(text, 'app', 1000)).toEqual([
      { start: 100000, count: 65536 },
      { start: 300000, count: 10 },
    ]);
    expect(parseRanges(text, 'none', 7)).toEqual([]);
  });
});

describe('findExecutable', () => {
  it.each([undefined, '', ':/nowhere', '.:bin'])('takes no program from the current directory with PATH %j', (path) => {
    const cwd = mkdtempSync(join(tmpdir(), 'tsbuild-path-'));
    onTestFinished(() => rmSync(cwd, { recursive: true }));
    writeFileSync(join(cwd, 'tsbuild-test-helper'), '', { mode: 0o755 });
    const module = new URL('../../src/sandbox/user-namespace.ts', import.meta.url).href;
    const script = `
      const { findExecutable } = await import(${JSON.stringify(module)});
      process.stdout.write(JSON.stringify([findExecutable('tsbuild-test-helper') ?? 'none', findExecutable('env')]));
    `;
    const env = path === undefined ? {} : { PATH: path };
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd, env });
    expect([String(stdout), String(stderr)]).toEqual(['["none","/usr/bin/env"]', '']);
  });
});

describe('mapArguments', () => {
  it('maps root to the caller and what follows to the ranges in turn', () => {
    const ranges = [
      { start: 100000, count: 10 },
      { start: 300000, count: 5 },
    ];
    expect(mapArguments(1000, ranges).join(' ')).toBe('0 1000 1 1 100000 10 11 300000 5');
  });
});

describe('deniedError', () => {
  const text = (sysctls: Readonly<Record<string, string>>): string => {
    const { message, hint } = deniedError((name) => sysctls[name]);
    return `${message}: ${hint}`;
  };

  it.each([
    ['user.max_user_namespaces', '0', 'sysctl -w user.max_user_namespaces=15000'],
    ['kernel.unprivileged_userns_clone', '0', 'sysctl -w kernel.unprivileged_userns_clone=1'],
    ['kernel.apparmor_restrict_unprivileged_userns', '1', 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'],
  ])('names %s when it forbids user namespaces', (name, value, command) => {
    expect(text({ [name]: value })).toBe(
      `this user may not make a user namespace: as root, run: ${command} (or build as root)`,
    );
  });

  it('suspects a container otherwise', () => {
    expect(text({ 'user.max_user_namespaces': '100' })).toBe(
      'this user may not make a user namespace: no sysctl forbids it, so a container or a security module does: run that container privileged, or build as root',
    );
  });
});
