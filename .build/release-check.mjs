// The release check: caches that tsbuild exports are imported into a BuildKit, and BuildKit's into tsbuild; every step must be
// cached. It empties that BuildKit's cache.
//   npm run release-check -- --docker "docker -H unix:///path/to/docker.sock"
//   npm run release-check -- --buildctl unix:///run/buildkit/buildkitd.sock
import { parseArgs } from 'node:util';
import { Buildctl, Buildx, Tsbuild } from './release-check/builders.mjs';
import { listCases } from './release-check/list-cases.mjs';
import { listArchive, Room } from './release-check/room.mjs';
import { expectEqualShapes, shapeOfCache, shapeOfInline } from './release-check/shape.mjs';

const REFERENCE = '0.32.2';
const HELP = `npm run release-check -- (--docker COMMAND | --buildctl ADDRESS) [options]
  --registry HOST   a registry that both may push to (TSBUILD_LAB_REGISTRY, 127.0.0.1:5000)
  --base IMAGE      busybox (HOST/library/busybox)
  --network MODE    of all RUNs, such as host for a daemon without a bridge
  --case NAME       only this one; may be repeated
  --packages        also the cases that install packages
  --keep            leave contexts, stores and caches in place`;

const { values } = parseArgs({
  options: {
    docker: { type: 'string' },
    buildctl: { type: 'string' },
    registry: { type: 'string', default: process.env.TSBUILD_LAB_REGISTRY ?? '127.0.0.1:5000' },
    base: { type: 'string' },
    network: { type: 'string' },
    case: { type: 'string', multiple: true },
    packages: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** The steps of a build that must have been cached, all of them. */
function expectCached({ steps, text }) {
  const ran = steps.filter(({ isCached }) => !isCached).map(({ name }) => name);
  if (ran.length > 0) throw new Error(`${ran.length} of ${steps.length} steps ran:\n${ran.join('\n')}`);
  if (steps.length === 0) throw new Error(`no step was told of:\n${text.slice(-2000)}`);
  return `${steps.length} steps cached`;
}

class Check {
  #room;
  #theirs;
  #own = new Tsbuild();
  #failed = 0;
  #passed = 0;

  constructor(room, theirs) {
    this.#room = room;
    this.#theirs = theirs;
  }

  async all(one) {
    const { name } = one;
    const store = this.#room.path(`${name}-store`);
    const repository = `${values.registry}/release-check/${name}-${process.pid}`;
    await this.#say(
      `${name}: tsbuild builds`,
      async () => `${(await this.#own.build(one, { store })).steps.length} steps`,
    );
    for (const [form, to, from, output] of formsOf(this.#room.path(`${name}-cache`), repository)) {
      await this.#say(`${name}: tsbuild to BuildKit, ${form}`, async () => {
        await this.#own.build(one, { store, to: [to], output });
        await this.#theirs.prune();
        return expectCached(await this.#theirs.build(one, { from: [from] }));
      });
    }
    await this.#back(one, this.#room.path(`${name}-theirs`));
    for (const mode of one.isPlural ? ['max', 'min'] : ['max', 'min', 'inline']) await this.#compare(one, mode);
  }

  /** The same cache from both, each after a build that began with nothing. */
  async #compare(one, mode) {
    const [ours, theirs] = [this.#room.path(`${one.name}-${mode}-a`), this.#room.path(`${one.name}-${mode}-b`)];
    const isInline = mode === 'inline';
    const flags = (place) => ({
      to: [isInline ? 'type=inline' : `type=local,dest=${place},mode=${mode}`],
      ...(isInline && { output: `type=oci,dest=${place},tar=false` }),
    });
    await this.#say(`${one.name}: records, ${mode}`, async () => {
      await this.#own.build(one, { store: `${ours}-store`, ...flags(ours) });
      await this.#theirs.prune();
      await this.#theirs.build(one, flags(theirs));
      const shapeOf = isInline ? shapeOfInline : shapeOfCache;
      return expectEqualShapes(shapeOf(ours), shapeOf(theirs));
    });
  }

  /** One build there, with files and cache; then one here, from the cache. */
  async #back(one, place) {
    const { name } = one;
    await this.#say(`${name}: BuildKit to tsbuild`, async () => {
      await this.#theirs.prune();
      const to = [`type=local,dest=${place}-cache,mode=max`];
      await this.#theirs.build(one, { to, output: `type=tar,dest=${place}.tar` });
      const from = [`type=local,src=${place}-cache`];
      const own = await this.#own.build(one, {
        store: `${place}-store`,
        from,
        output: `type=tar,dest=${place}-own.tar`,
      });
      const told = expectCached(own);
      const [theirFiles, ownFiles] = [listArchive(`${place}.tar`), listArchive(`${place}-own.tar`)];
      const different = theirFiles.filter((line) => !ownFiles.includes(line));
      if (theirFiles.length !== ownFiles.length || different.length > 0)
        throw new Error(`files differ:\n${different.slice(0, 5).join('\n')}`);
      return `${told}, ${ownFiles.length} files equal`;
    });
  }

  async #say(title, check) {
    try {
      console.log(`ok    ${title}: ${await check()}`);
      this.#passed += 1;
    } catch (error) {
      console.log(`FAIL  ${title}: ${error.message.replaceAll('\n', '\n      ')}`);
      this.#failed += 1;
    }
  }

  end() {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0 ? 0 : 1;
  }
}

/** Each form's name, what tsbuild is told, what BuildKit is told, and the image that goes with it. */
function formsOf(directory, repository) {
  const registry = (form, flags) => [
    form,
    `type=registry,ref=${repository}:${form},mode=max${flags}`,
    `type=registry,ref=${repository}:${form}`,
  ];
  return [
    ['local', `type=local,dest=${directory},mode=max`, `type=local,src=${directory}`],
    registry('manifest', ''),
    registry('index', ',image-manifest=false'),
    registry('list', ',image-manifest=false,oci-mediatypes=false'),
    registry('zstd', ',compression=zstd,force-compression=true'),
    ['min', `type=registry,ref=${repository}:min,mode=min`, `type=registry,ref=${repository}:min`],
    [
      'inline',
      'type=inline',
      `type=registry,ref=${repository}:inline`,
      `type=image,name=${repository}:inline,push=true`,
    ],
  ];
}

/** True of a version before the reference's, and of one that tells nothing. */
function isOlder(version) {
  const numbers = (text) => (/(\d+)\.(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  const [found, wanted] = [numbers(version.replace(/ .*/, '')), numbers(REFERENCE)];
  const at = wanted.findIndex((number, place) => number !== found[place]);
  return at >= 0 && (found[at] ?? 0) < (wanted[at] ?? 0);
}

async function main() {
  if (values.help || (values.docker === undefined) === (values.buildctl === undefined)) {
    console.log(HELP);
    return values.help ? 0 : 2;
  }
  const theirs = values.docker === undefined ? new Buildctl(values.buildctl) : new Buildx(values.docker);
  const version = await theirs.version();
  console.log(`BuildKit ${version}`);
  if (!version.startsWith(`v${REFERENCE}`)) console.log(`warning: this is not BuildKit ${REFERENCE}, the reference`);
  const room = new Room();
  try {
    const check = new Check(room, theirs);
    const words = {
      BASE: values.base ?? `${values.registry}/library/busybox`,
      ARCHIVE: await room.serve(),
      CHECKSUM: room.checksum,
      DEBIAN: `${values.registry}/library/debian:bookworm`,
    };
    const cases = listCases(words, { withPackages: values.packages });
    for (const one of cases.filter(({ name }) => values.case?.includes(name) ?? true)) {
      if (one.isNew && isOlder(version)) console.log(`skip  ${one.name}: BuildKit before ${REFERENCE} differs`);
      else await check.all({ ...room.lay(one), ...(values.network && { network: values.network }) });
    }
    return check.end();
  } finally {
    if (values.keep) console.log(`left in place: ${room.directory}`);
    room.close({ isKept: values.keep });
  }
}

process.exitCode = await main();
