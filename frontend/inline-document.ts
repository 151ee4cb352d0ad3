// A heredoc as a file: a tree with nothing else in it.
import type { Draft } from './draft.ts';
import { INLINE_DOCUMENT_NAME } from './step-name.ts';

/** The tree that holds the document as `/<name>`. */
export function inlineDocument(name: string, body: string, mode: number): Draft {
  return {
    sources: [],
    options: { name: INLINE_DOCUMENT_NAME },
    createOp: () => ({
      kind: 'file',
      actions: [
        { action: 'mkfile', input: -1, secondaryInput: -1, output: 0, path: `/${name}`, mode, data: Buffer.from(body) },
      ],
    }),
  };
}
