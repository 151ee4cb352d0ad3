// `--pull=false`, `-q=true`: flags that take no value may be given one all the same, as those of docker may.
import type { Command } from 'commander';
import { parseGoBool } from '../../frontend/go-text.ts';
import { usageError } from './usage-error.ts';

/** argv without such values: a true flag stands alone, a false one is gone. Throws TSB_USAGE_BOOLEAN. */
export function readBooleans(program: Command, argv: readonly string[]): readonly string[] {
  // Nothing else has one, and most command lines have none.
  if (!argv.some((text) => /^--?[^=]+=/.test(text) || text === '--userns')) return argv;
  const { command, first } = findCommand(program, argv);
  const isStrict = command.name() === 'run';
  const read: string[] = argv.slice(0, first);
  for (let at = first; at < argv.length; at += 1) {
    const text = argv[at] ?? '';
    // Behind it are operands: of `run`, those of the command in the image.
    if (text === '--' || (isStrict && !text.startsWith('-'))) return [...read, ...argv.slice(at)];
    const preset = command.options.find(({ long, optional }) => optional && long === text)?.presetArg;
    if (preset !== undefined) {
      read.push(`${text}=${String(preset)}`);
      continue;
    }
    const flag = booleanOf(command, text);
    if (flag === undefined) {
      const count = takesNext(command, text) ? 2 : 1;
      read.push(...argv.slice(at, at + count));
      at += count - 1;
      continue;
    }
    // The last one counts.
    const others = read.slice(first).filter((other) => !flag.names.includes(other));
    read.splice(first, read.length, ...others, ...(flag.value ? [flag.names[0] ?? text] : []));
  }
  return read;
}

/** The command that argv names, and where its own arguments begin; without a name it is `build`. */
function findCommand(program: Command, argv: readonly string[]): { command: Command; first: number } {
  const byName = (parent: Command, name: string | undefined) => parent.commands.find((one) => one.name() === name);
  const command = byName(program, argv[0]);
  if (command === undefined) return { command: byName(program, 'build') ?? program, first: 0 };
  const inner = byName(command, argv[1]);
  if (inner !== undefined) return { command: inner, first: 2 };
  // Of commands in a command, the first is the one without a name.
  return { command: command.commands[0] ?? command, first: 1 };
}

function booleanOf(command: Command, text: string): { names: readonly string[]; value: boolean } | undefined {
  const [, name, given = ''] = /^(--?[^=]+)=(.*)$/s.exec(text) ?? [];
  const option = command.options.find(({ long, short }) => name !== undefined && (long === name || short === name));
  if (option === undefined || option.required || option.optional) return undefined;
  const value = parseGoBool(given);
  if (value === undefined) {
    throw usageError('BOOLEAN', `invalid value "${given}" of ${name}: expected true or false`);
  }
  return { names: [option.long, option.short].flatMap((one) => one ?? []), value };
}

/** True when the next argument is the value of this one. */
function takesNext(command: Command, text: string): boolean {
  const find = (name: string) => command.options.find(({ long, short }) => long === name || short === name);
  if (text.startsWith('--')) return find(text)?.required === true;
  if (!/^-[^-]/.test(text)) return false;
  // `-qt NAME`: all but the last take none.
  const letters = [...text.slice(1)];
  const taker = letters.findIndex((letter) => find(`-${letter}`)?.required === true);
  return taker >= 0 && taker === letters.length - 1;
}
