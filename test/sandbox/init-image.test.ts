import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { initCode, initImage, LISTINGS, PROGRAM_ADDRESS, RECORD, SETUP_FAILED } from '../../src/sandbox/init-image.ts';
import { InitProgram } from '../../src/sandbox/init-program.ts';
import type { MachineArch } from '../../src/sandbox/seccomp.ts';

const TOOLS: Readonly<Record<MachineArch, { prefix: string; header: string; emulator: string }>> = {
  x64: { prefix: '', header: '.intel_syntax noprefix', emulator: 'qemu-x86_64-static' },
  arm64: { prefix: 'aarch64-linux-gnu-', header: '', emulator: 'qemu-aarch64-static' },
};

function exists(command: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
}

describe.each(['x64', 'arm64'] as const)('tsbuild-init for %s', (arch) => {
  const { prefix, header, emulator } = TOOLS[arch];
  let dir = '';
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-init-'));
    writeFileSync(join(dir, 'init'), initImage(arch));
    chmodSync(join(dir, 'init'), 0o755);
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  const canAssemble = (process.arch === arch || prefix !== '') && exists(`${prefix}as`) && exists(`${prefix}objcopy`);

  itNeeding([{ name: 'binutils', isHere: canAssemble }], 'has the bytes of its assembly', () => {
    const source = LISTINGS[arch]
      .trim()
      .split('\n')
      .map((line) => (line.endsWith(':') ? line : line.replace(/^\S+\s+/, '').replace(/ ;.*/, '')))
      .join('\n');
    writeFileSync(join(dir, 'init.s'), `${header}\n${source}\n`);
    execFileSync(`${prefix}as`, ['-o', 'init.o', 'init.s'], { cwd: dir });
    execFileSync(`${prefix}objcopy`, ['-O', 'binary', '-j', '.text', 'init.o', 'init.bin'], { cwd: dir });
    expect(initCode(arch).toString('hex')).toBe(readFileSync(join(dir, 'init.bin'), 'hex'));
  });

  it('is small', () => {
    expect(initCode(arch).length).toBeLessThan(300);
    expect(initImage(arch).length).toBeLessThan(512);
  });

  const command = process.arch === arch ? [] : [emulator];
  const emulation = [{ name: 'qemu-user-static', isHere: command.length === 0 || exists(emulator) }];
  const run = (program: InitProgram): { status: number | null; stdout: string; header: Buffer } => {
    const path = join(dir, 'program');
    writeFileSync(path, program.assemble());
    const [file = '', ...args] = [...command, join(dir, 'init')];
    const { status, stdout } = spawnSync(file, args, { stdio: ['ignore', 'pipe', 'inherit', openSync(path, 'r+')] });
    return { status, stdout: stdout.toString(), header: readFileSync(path).subarray(0, RECORD.headerBytes) };
  };

  itNeeding(emulation, 'makes calls, passes results on and jumps', () => {
    const program = new InitProgram(arch);
    const [skipped, failed, wrong] = [program.label(), program.label(), program.label()];
    const say = (text: string): void => void program.call('write', [1, text, text.length]);
    program.jump(skipped);
    say('not reached ');
    program.place(skipped);
    program.call('close', [99], { ignore: true });
    say('ignored ');
    const fd = program.call('openat', [-100, '/dev/null', 1]);
    program.call('write', [fd, 'gone', 4]);
    program.call('close', [99], { onError: failed, onErrno: 9 });
    say('not reached either ');
    program.place(failed);
    program.attempt(
      (label) => program.call('close', [99], { onError: label }),
      () => say('otherwise '),
    );
    program.call('close', [fd]);
    program.call('exit_group', [7]);
    program.place(wrong);
    program.call('exit_group', [8]);
    expect(run(program)).toMatchObject({ status: 7, stdout: 'ignored otherwise ' });
  });

  itNeeding(emulation, 'names the call that failed', () => {
    const program = new InitProgram(arch);
    const elsewhere = program.label();
    program.call('getpid');
    program.purpose('close what is not open');
    program.call('close', [99], { tag: 'mine', onError: elsewhere, onErrno: 1 });
    program.place(elsewhere);
    program.call('exit_group', [0]);
    const { status, header } = run(program);
    expect(status).toBe(SETUP_FAILED);
    const address = Number(header.readBigUInt64LE(0));
    expect(address).toBe(PROGRAM_ADDRESS + RECORD.headerBytes + RECORD.bytes);
    expect(program.describe(address)).toEqual({ call: 'close', purpose: 'close what is not open', tag: 'mine' });
    expect(header.readBigInt64LE(8)).toBe(-9n);
  });
});
