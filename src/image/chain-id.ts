// Identities of stacks of layers: https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
import { type Digest, digestOf } from '../../solver/digest.ts';

/** For each layer, oldest first, the chainID of the stack that ends in it. */
export function chainIDs(diffIDs: readonly Digest[]): readonly Digest[] {
  const chain: Digest[] = [];
  for (const diffID of diffIDs) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffID : digestOf(`${below} ${diffID}`));
  }
  return chain;
}
