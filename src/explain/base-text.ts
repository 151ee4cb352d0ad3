// What a FROM says of its image, and the build args that it says it with: they tell why an image has another name.
import type { FromInstruction, Instruction } from '../../frontend/instruction.ts';
import type { Vertex } from '../../solver/vertex.ts';

/** An image as written, with the values of the args in it. */
export interface BaseText {
  readonly text: string;
  readonly args: Readonly<Record<string, string>>;
}

/** The texts of the FROMs by the vertices of their images; undefined for an image of another instruction. */
export function baseTexts(
  instructions: readonly Instruction[],
  buildArgs: Readonly<Record<string, string>>,
): (vertex: Vertex) => BaseText | undefined {
  const values = globalArgs(instructions, buildArgs);
  const froms = instructions.filter((instruction): instruction is FromInstruction => instruction.kind === 'FROM');
  return ({ options: { range } }) => {
    const from = froms.find((one) => one.range.start.line === range?.start.line);
    if (from === undefined) return undefined;
    const args: Record<string, string> = {};
    addArgs(from.image, values, args);
    return { text: from.image, args };
  };
}

/** Those above the first FROM: what is given, else the default as written. */
function globalArgs(
  instructions: readonly Instruction[],
  buildArgs: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const instruction of instructions) {
    if (instruction.kind === 'FROM') break;
    if (instruction.kind !== 'ARG') continue;
    for (const { key, value = '' } of instruction.args) {
      values.set(key, Object.hasOwn(buildArgs, key) ? (buildArgs[key] ?? '') : value);
    }
  }
  return values;
}

/** Also those that the value of one names. */
function addArgs(text: string, values: ReadonlyMap<string, string>, args: Record<string, string>): void {
  for (const [, name = ''] of text.matchAll(/\$\{?(\w+)/g)) {
    const value = values.get(name);
    if (value === undefined || Object.hasOwn(args, name)) continue;
    args[name] = value;
    addArgs(value, values, args);
  }
}

/** The args by which alone the same text names another image; none when the text is another. */
export function changedArgs(old: BaseText | undefined, now: BaseText | undefined): readonly string[] {
  if (old === undefined || now === undefined || old.text !== now.text) return [];
  return Object.keys(now.args).filter((name) => old.args[name] !== now.args[name]);
}
