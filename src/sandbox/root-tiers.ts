// How a run gets its root filesystem: as the kernel's overlay; where that cannot be mounted, through fuse-overlayfs; and
// where that does not work either, as a copy. The first run tries, the others do as it did.
import { errnoName } from '../sys/libc.ts';
import { constants } from 'node:os';
import { TsbuildError } from '../../solver/errors.ts';
import { OVERLAY_TAG } from './stand-in.ts';
import { type Attempt, type TierRun, tryOverlay } from './try-overlay.ts';

/** From the best to the worst. */
const OVERLAY_TIERS = ['kernel', 'fuse', 'copy'] as const;

/** By the names that TSBUILD_OVERLAY takes. */
export type OverlayTier = (typeof OVERLAY_TIERS)[number];

/** Environment variable that names the tier to use, for tests and diagnosis. */
export const OVERLAY_VARIABLE = 'TSBUILD_OVERLAY';

/** One for each executor. */
export class RootTiers {
  readonly #stateDir: string;
  readonly #note: (message: string) => void;
  readonly #asked: OverlayTier | undefined;
  #tier: OverlayTier | undefined;

  /** `note` is told, once, that something slower than the kernel's overlays is used. Throws TSB_SANDBOX_OVERLAY_UNKNOWN. */
  constructor(stateDir: string, note: (message: string) => void = () => {}, asked = process.env[OVERLAY_VARIABLE]) {
    this.#stateDir = stateDir;
    this.#note = note;
    this.#asked = asked ? readTier(asked) : undefined;
    this.#tier = this.#asked;
  }

  /** The one in use; undefined before the first run. */
  get tier(): OverlayTier | undefined {
    return this.#tier;
  }

  /** A failure to mount any root filesystem is the attempt's outcome. */
  async run(run: TierRun): Promise<Attempt> {
    if (this.#tier === 'kernel') return await run.attempt(undefined);
    if (this.#tier !== undefined) return await this.#runWithout(run, this.#tier);
    // What a run has read that fails to start is lost.
    const tried = run.io.stdin === undefined ? await run.attempt(undefined) : await tryOverlay(run);
    const problem = overlayProblem(tried);
    if (problem === undefined) {
      this.#tier ??= 'kernel';
      return run.io.stdin === undefined ? tried : await run.attempt(undefined);
    }
    const { findFallback } = await import('./fallback-roots.ts');
    const found = await findFallback(this.#stateDir, run);
    if (found === undefined) return tried;
    if (this.#tier === undefined) this.#note(noteOf(found.tier, problem, found.problem));
    this.#tier = found.tier;
    return await this.#runWithout(run, found.tier);
  }

  async #runWithout(run: TierRun, tier: Exclude<OverlayTier, 'kernel'>): Promise<Attempt> {
    const { runOnCopies, runOnFuse } = await import('./fallback-roots.ts');
    return tier === 'fuse' ? await runOnFuse(this.#stateDir, run) : await runOnCopies(this.#stateDir, run);
  }
}

function readTier(text: string): OverlayTier {
  const tier = OVERLAY_TIERS.find((name) => name === text);
  if (tier !== undefined) return tier;
  throw new TsbuildError(
    'TSB_SANDBOX_OVERLAY_UNKNOWN',
    `invalid ${OVERLAY_VARIABLE} "${text}": expected ${OVERLAY_TIERS.join(', ')}`,
    { hint: 'set it to one of these, or to nothing' },
  );
}

const { EACCES, EINVAL, ENODEV, ENOSYS, EOPNOTSUPP, EPERM } = constants.errno;
const REFUSALS: ReadonlySet<number> = new Set([EACCES, EINVAL, ENODEV, ENOSYS, EOPNOTSUPP, EPERM]);

/** The call and its error when it was the mount of an overlay that failed, for a reason that is the machine's. */
function overlayProblem({ program, outcome }: Attempt): string | undefined {
  if (outcome.kind !== 'failed' || !REFUSALS.has(outcome.errno)) return undefined;
  const { tag, call } = program.describe(outcome.recordAddress);
  return tag === OVERLAY_TAG ? `${call}: ${errnoName(outcome.errno)}` : undefined;
}

function noteOf(tier: OverlayTier, problem: string, fuseProblem: string): string {
  const how =
    tier === 'fuse'
      ? 'steps run on fuse-overlayfs, which is slower'
      : `each step runs in a copy of its root filesystem, which is slow (fuse-overlayfs: ${fuseProblem})`;
  return `no overlay can be mounted (${problem}), so ${how}; tsbuild doctor says what to do`;
}
