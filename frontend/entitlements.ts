// What a RUN may ask for only when the user has allowed it: `--network=host` and `--security=insecure`.
import type { Definition } from '../solver/definition.ts';
import { TsbuildError } from '../solver/errors.ts';
import type { Op } from '../solver/op.ts';

/** A right as `--allow` names it. */
export type Entitlement = 'network.host' | 'security.insecure';

/** Throws TSB_ENTITLEMENT_MISSING for the first step that needs what is not allowed. */
export function checkEntitlements({ vertices }: Definition, allowed: ReadonlySet<Entitlement>): void {
  for (const { op, options } of vertices) {
    const missing = neededBy(op).find((entitlement) => !allowed.has(entitlement));
    if (missing === undefined) continue;
    throw new TsbuildError('TSB_ENTITLEMENT_MISSING', `${missing} is not allowed`, {
      hint: `allow it with --allow ${missing}`,
      ...(options.range === undefined ? {} : { range: options.range }),
    });
  }
}

function neededBy(op: Op): readonly Entitlement[] {
  if (op.kind !== 'exec') return [];
  return [
    ...(op.network === 'host' ? (['network.host'] as const) : []),
    ...(op.security === 'insecure' ? (['security.insecure'] as const) : []),
  ];
}
