// Whose a store is, and which ids its files were made with: nobody else builds in it, whoever asks.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import {
  type Caller,
  makeBase,
  outputOf,
  rootCaller,
  singleIDCaller,
  USER_NEEDS,
  userCaller,
  writeContext,
} from './harness.ts';

const base = makeBase();
const OWNED = { Dockerfile: 'FROM base\nCOPY --chown=77:78 file /file\nRUN echo hello\n', file: 'x' };

const argsFor = (context: string, ...flags: string[]): string[] => {
  return ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`, ...flags, context];
};

/** The command as root of a namespace with one id, which this caller makes. */
const asLoneRoot = (caller: Caller, args: readonly string[], store?: string) =>
  caller.run(
    'unshare',
    ['--user', '--map-root-user', ...caller.command, ...args],
    store === undefined ? {} : { store },
  );

const filesOf = (store: string): readonly string[] =>
  readdirSync(store, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/-(wal|shm)$/.test(name))
    .sort();

/** As a build has them in its image. */
const ownerOfFile = (caller: Caller, context: string): string => {
  const tar = join(caller.home, 'out.tar');
  const built = caller.tsbuild(argsFor(context, '-o', `type=tar,dest=${tar}`));
  expect(built.status, outputOf(built)).toBe(0);
  return caller.run('tar', ['-tv', '--numeric-owner', '-f', tar, 'file']).stdout.split(/\s+/)[1] ?? '';
};

describeNeeding([...USER_NEEDS, 'unshare', 'tar'], 'the store of an ordinary user', () => {
  it.each([
    ['of a single id', singleIDCaller],
    ['of several ids', userCaller],
  ])('%s is none for root, and stays good for its user', (_, makeCaller) => {
    using user = makeCaller();
    using root = rootCaller();
    const store = join(user.home, 'store');
    const context = writeContext(user, OWNED);
    expect(ownerOfFile(user, context)).toBe('77/78');
    const before = filesOf(store);
    const uid = user.run('id', ['-u']).stdout.trim();
    const refusal = `error: the store "${store}" belongs to user ${uid}\nhint: name a directory of your own with TSBUILD_ROOT\n`;
    for (const args of [argsFor(context), ['images'], ['du'], ['prune', '--all']]) {
      const refused = root.tsbuild(args, { store });
      expect([args[0], refused.status, refused.stderr]).toEqual([args[0], 1, refusal]);
    }
    const { stderr, status } = root.tsbuild(['run', 'x', 'true'], { store });
    expect([status, stderr]).toEqual([125, refusal]);
    expect(filesOf(store)).toEqual(before);
    expect(outputOf(user.tsbuild(argsFor(context)))).toMatch(/^#\d+ CACHED$/m);
    expect(user.tsbuild(['prune', '--all']).status).toBe(0);
  });

  it('is none for root of a namespace with one id', () => {
    using user = userCaller();
    const store = join(user.home, 'store');
    const context = writeContext(user, OWNED);
    expect(ownerOfFile(user, context)).toBe('77/78');
    const before = filesOf(store);
    const fact = `the store ${store} was made where several user ids were available, and there is a single one now`;
    const hint = 'remove it, or name another directory with TSBUILD_ROOT';
    writeFileSync(join(context, 'file'), 'y');
    for (const args of [argsFor(context), ['images'], ['prune', '--all']]) {
      const refused = asLoneRoot(user, args);
      expect([args[0], refused.status]).toEqual([args[0], 1]);
      expect(refused.stderr.endsWith(`error: ${fact}\nhint: ${hint}\n`), refused.stderr).toBe(true);
    }
    const doctor = asLoneRoot(user, ['doctor', '--json']);
    expect(JSON.parse(doctor.stdout).checks).toContainEqual(expect.objectContaining({ name: 'store', fact }));
    expect(filesOf(store)).toEqual(before);
    expect(ownerOfFile(user, context)).toBe('77/78');
  });

  it('is made and used by such a root as by one of its own', () => {
    using user = userCaller();
    const context = writeContext(user, OWNED);
    const store = join(user.home, 'lone');
    expect(asLoneRoot(user, argsFor(context), store).status).toBe(0);
    expect(readFileSync(join(store, 'user-ids'), 'utf8')).toBe('single');
    expect(outputOf(asLoneRoot(user, argsFor(context), store))).toMatch(/^#\d+ CACHED$/m);
    expect(user.tsbuild(argsFor(context), { store }).stderr).toContain(
      `error: the store ${store} was made where a single user id was available, and there are several now\n`,
    );
  });

  it('says which file of it cannot be written when it is pruned', () => {
    using user = userCaller();
    const store = join(user.home, 'store');
    expect(user.tsbuild(['du']).status).toBe(0);
    mkdirSync(join(store, 'mounts', 'abc'));
    const lock = join(store, 'locks', 'mount-abc');
    writeFileSync(lock, '', { mode: 0o600 });
    const pruned = user.tsbuild(['prune', '--all']);
    expect([pruned.status, pruned.stderr]).toEqual([
      1,
      `error: cannot write to the store "${store}"\n` +
        'hint: make it writable for this user, or name another directory with TSBUILD_ROOT\n' +
        `cause: EACCES: permission denied, open '${lock}'\n`,
    ]);
  });
});
