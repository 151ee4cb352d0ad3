// What a step finds inside, compared with the same step under dockerd 20.10's BuildKit. Every difference is argued in
// differences.json, or the test fails.
import { copyFileSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Dockerd, type Finished, finished, hasDockerd } from '../conformance/dockerd.ts';
import { type Caller, describeRoot, USER_NEEDS, userCaller, writeContext } from '../e2e/harness.ts';
import { REGISTRY } from '../needs.ts';

/** Regular expressions, of which `what` and `in` are for the whole line's name and part of the variant's. */
interface ArguedDifference {
  readonly what: string;
  readonly in: string;
  readonly theirs?: string;
  readonly ours?: string;
  readonly why: string;
}

const ARGUED = JSON.parse(
  readFileSync(join(import.meta.dirname, 'differences.json'), 'utf8'),
) as readonly ArguedDifference[];
const DOCKERFILE = `FROM ${REGISTRY}/library/busybox\nCOPY probe.sh /\nRUN sh /probe.sh\n`;
const FLAGS = ['build', '--progress=plain', '--network=host', '--no-cache'];
const needs = [{ name: 'dockerd 20.10', isHere: hasDockerd() }, 'lab', 'setpriv', 'runc', ...USER_NEEDS];

describeRoot('inside a step it is as inside one of dockerd 20.10', { needs }, (root) => {
  const callers = [root, userCaller()];
  let theirs: ReadonlyMap<string, string>;

  beforeAll(async () => {
    await using dockerd = new Dockerd();
    await dockerd.answers();
    // On a busy machine the daemon fails now and then; what it finds is the reference, not how often.
    let built = await dockerd.docker(...FLAGS, contextOf(root));
    for (let tries = 0; tries < 2 && built.status !== 0; tries++) {
      built = await dockerd.docker(...FLAGS, contextOf(root));
    }
    theirs = findings(built);
  });
  afterAll(() => {
    for (const caller of callers) caller.dispose();
  });

  it.each([
    { variant: 'root built-in', caller: 0, runtime: '' },
    { variant: 'root runc', caller: 0, runtime: 'runc' },
    { variant: 'user built-in', caller: 1, runtime: '' },
    { variant: 'user runc', caller: 1, runtime: 'runc' },
  ])('$variant', async ({ variant, caller: index, runtime }) => {
    const caller = callers[index];
    if (caller === undefined) throw new Error('too early');
    const [program = '', ...args] = [...caller.prefix, ...caller.command, ...FLAGS, '--oci-runtime', runtime];
    const env = { HOME: caller.home, TSBUILD_ROOT: join(caller.home, 'store') };
    const ours = findings(await finished(program, [...args, contextOf(caller)], env));
    expect(ours.size).toBeGreaterThan(150);
    const unargued = [...new Set([...theirs.keys(), ...ours.keys()])].flatMap((what) => {
      const [left, right] = [theirs.get(what) ?? 'absent', ours.get(what) ?? 'absent'];
      return left === right || isArgued(variant, what, left, right) ? [] : [`${what}: ${left} <> ${right}`];
    });
    expect(unargued).toEqual([]);
  });
});

describe('the table of differences', () => {
  it('has a reason for each', () => {
    for (const { why } of ARGUED) expect(why.length).toBeGreaterThan(20);
  });
});

function isArgued(variant: string, what: string, theirs: string, ours: string): boolean {
  return ARGUED.some(
    (entry) =>
      new RegExp(`^(?:${entry.what})$`).test(what) &&
      new RegExp(entry.in).test(variant) &&
      new RegExp(entry.theirs ?? '').test(theirs) &&
      new RegExp(entry.ours ?? '').test(ours),
  );
}

function contextOf(caller: Caller): string {
  const context = writeContext(caller, { Dockerfile: DOCKERFILE });
  copyFileSync(join(import.meta.dirname, 'probe.sh'), join(context, 'probe.sh'));
  return context;
}

/** Lines `name | value` of a step's output, without what differs from run to run. */
function findings({ status, text }: Finished): ReadonlyMap<string, string> {
  expect(status, text).toBe(0);
  const found = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name = '', value = ''] = /^#\d+ \d[\d.]* (.*?) \| ?(.*)$/.exec(line) ?? [];
    if (name === '' || name === 'sysctl kernel/ns_last_pid' || name === '/proc/self/autogroup') continue;
    const before = found.get(name);
    found.set(name, before === undefined ? steady(name, value) : `${before}; ${steady(name, value)}`);
  }
  return found;
}

const HOST_NAMESPACES = new Map(
  readdirSync('/proc/self/ns').map((name) => [name, readlinkSync(`/proc/self/ns/${name}`)]),
);

function steady(name: string, value: string): string {
  if (name.startsWith('namespace ')) {
    return HOST_NAMESPACES.get(name.slice('namespace '.length)) === value ? 'host' : 'own';
  }
  return value
    .replace(/round-trip .*/, 'round-trip')
    .replace(/\/docker\/buildkit\/\w+/, '/docker/buildkit/N')
    .replace(/\/tsbuild-[\d-]+/, '/tsbuild-N')
    .trimEnd();
}
