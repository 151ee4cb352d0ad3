// The trees that RUN --mount reads from, by the name written after `from=`. It takes no variables, so it is known early.
import { readCSVFields } from './csv-fields.ts';
import type { RunInstruction } from './instruction.ts';

/** Every `from=` of the instruction, in order. */
export function mountSources(instruction: RunInstruction): readonly string[] {
  return instruction.mounts.flatMap((mount) => {
    const { fields = [] } = { fields: undefined, ...readCSVFields(mount) };
    const from = fields.findLast((field) => field.toLowerCase().startsWith('from='));
    const name = from?.slice('from='.length) ?? '';
    return name === '' ? [] : [name];
  });
}
