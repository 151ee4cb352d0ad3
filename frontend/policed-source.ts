// Where source policies meet a conversion: at names of images before they are looked up, and at every source in the end.
import { TsbuildError } from '../solver/errors.ts';
import type { SourceOp } from '../solver/op.ts';
import { IMAGE_SCHEME, LAYOUT_SCHEME, LOCAL_SCHEME } from '../solver/source-schemes.ts';
import type { ConvertOptions, NamedContext } from './convert-options.ts';
import type { ChangeSource } from './draft.ts';
import { parseGitUrl } from './git-url.ts';
import { formatReference, parseReference, withDefaultTag } from './reference.ts';
import { gitSource } from './remote-source.ts';
import { parseRemoteContext } from './remote-context.ts';
import { applyPolicies } from './source-policy.ts';

type Policed = Pick<ConvertOptions, 'policies'>;

const GIT_SCHEME = 'git://';

/** The whole name of an image, or the layout it is in. */
export function fullName(name: string): string {
  return name.startsWith(LAYOUT_SCHEME) ? name : formatReference(withDefaultTag(parseReference(name)));
}

/** What the policies put in place of an image: another image, or a context. Throws TSB_POLICY_…. */
export function policedImage(name: string, { policies = [] }: Policed): FoundSource {
  const asked = fullName(name);
  if (policies.length === 0) return { name, context: { kind: 'image', reference: asked } };
  const { identifier } = prefixed('could not resolve image due to policy', () =>
    applyPolicies(policies, sourceOf(asked.startsWith(LAYOUT_SCHEME) ? asked : `${IMAGE_SCHEME}${asked}`)),
  );
  if (identifier.startsWith(LAYOUT_SCHEME)) return { name, context: { kind: 'image', reference: identifier } };
  if (identifier.startsWith(IMAGE_SCHEME)) {
    return { name, context: { kind: 'image', reference: identifier.slice(IMAGE_SCHEME.length) } };
  }
  if (identifier.startsWith(LOCAL_SCHEME)) {
    return { name: identifier.slice(LOCAL_SCHEME.length), context: { kind: 'local' } };
  }
  const remote = parseRemoteContext(identifier, { name });
  if (remote !== undefined) return { name, context: { kind: 'remote', remote } };
  throw new TsbuildError(
    'TSB_POLICY_INVALID',
    `cannot use ${identifier}, which the source policy puts in place of ${asked}`,
  );
}

/** The context that the policies put in place of an image; undefined where they leave an image, or nothing. */
export function replacedByPolicy(name: string, options: Policed): FoundSource | undefined {
  if ((options.policies ?? []).length === 0) return undefined;
  try {
    const found = policedImage(name, options);
    return found.context.kind === 'image' ? undefined : found;
  } catch (error) {
    // What is wrong is said where the image is looked up.
    if (error instanceof TsbuildError) return undefined;
    throw error;
  }
}

/** A context by the name of its directory. */
interface FoundSource {
  readonly name: string;
  readonly context: NamedContext;
}

/** What the graph's sources go through in the end; images have been looked up by then and can only be denied. */
export function policeSources({ policies = [] }: Policed): ChangeSource {
  if (policies.length === 0) return (op) => op;
  return (op) =>
    prefixed('error evaluating the source policy', () => {
      const changed = applyPolicies(policies, op);
      return op.identifier.startsWith(IMAGE_SCHEME) || op.identifier.startsWith(LAYOUT_SCHEME)
        ? op
        : fetchable(op, changed);
    });
}

/** A repository is fetched from where its identifier says, once a policy has changed that. */
function fetchable(op: SourceOp, changed: SourceOp): SourceOp {
  if (changed.identifier === op.identifier || !changed.identifier.startsWith(GIT_SCHEME)) return changed;
  if (changed.attrs['git.fullurl'] !== op.attrs['git.fullurl']) return changed;
  const url = parseGitUrl(`https://${changed.identifier.slice(GIT_SCHEME.length)}`);
  if (url === undefined) return changed;
  const { attrs } = gitSource(url, { checksum: undefined, keepGitDir: undefined });
  return { ...changed, attrs: { ...changed.attrs, ...attrs } };
}

function sourceOf(identifier: string): SourceOp {
  return { kind: 'source', identifier, attrs: {} };
}

function prefixed<T>(prefix: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    const { code, hint, exitCode } = error;
    throw new TsbuildError(code, `${prefix}: ${error.message}`, { exitCode, ...(hint !== undefined && { hint }) });
  }
}
