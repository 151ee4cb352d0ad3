// Helpers of the conversion tests: a Dockerfile's text in, a conversion or its errors out.

import { convertDockerfile } from '../../frontend/convert.ts';
import type { Conversion, ConvertOptions } from '../../frontend/convert-options.ts';
import { parseDockerfile } from '../../frontend/parse.ts';
import { TsbuildError, TsbuildErrors } from '../../solver/errors.ts';
import type { ExecOp, FileOp, Op, SourceOp } from '../../solver/op.ts';
import { FakeImageResolver, LINUX_AMD64 } from './fake-image-resolver.ts';

export interface ConvertTextOptions extends Partial<ConvertOptions> {
  readonly resolver?: FakeImageResolver;
}

/** What a plain build on an x86-64 machine asks for, with changes. */
export function convertOptions(text: string, changes: Partial<ConvertOptions> = {}): ConvertOptions {
  return {
    file: { name: 'Dockerfile', text },
    buildArgs: {},
    targetPlatform: LINUX_AMD64,
    buildPlatform: LINUX_AMD64,
    isMultiPlatform: false,
    labels: {},
    noCache: false,
    noCacheStages: [],
    namedContexts: {},
    network: 'sandbox',
    addHosts: [],
    ulimits: [],
    ...changes,
  };
}

export async function convertText(text: string, changes: ConvertTextOptions = {}): Promise<Conversion> {
  const { resolver = new FakeImageResolver(), ...rest } = changes;
  const options = convertOptions(text, rest);
  return await convertDockerfile(parseDockerfile(options.file), options, { resolver });
}

/** The errors that converting the text gives. */
export async function errorsOf(text: string, options?: ConvertTextOptions): Promise<readonly TsbuildError[]> {
  try {
    await convertText(text, options);
  } catch (error) {
    if (error instanceof TsbuildErrors) return error.errors;
    if (error instanceof TsbuildError) return [error];
    throw error;
  }
  throw new Error('the conversion gave no error');
}

/** The text of its only error. */
export async function messageOf(text: string, options?: ConvertTextOptions): Promise<string> {
  const errors = await errorsOf(text, options);
  return errors.map(({ message }) => message).join('\n');
}

export function stepNames({ definition }: Conversion): readonly string[] {
  return definition.vertices.map(({ options }) => options.name);
}

export function historyOf({ config }: Conversion): readonly (string | undefined)[] {
  return config.history.map((entry) => entry.created_by);
}

/** The op of the vertex whose name ends so. */
export function opOf({ definition }: Conversion, nameEnd: string): Op {
  const vertex = definition.vertices.find(({ options }) => options.name.endsWith(nameEnd));
  if (vertex === undefined) throw new Error(`no vertex ${nameEnd}`);
  return vertex.op;
}

export function execOf(conversion: Conversion, nameEnd: string): ExecOp {
  const op = opOf(conversion, nameEnd);
  if (op.kind !== 'exec') throw new Error(`${nameEnd} is ${op.kind}`);
  return op;
}

export function fileOf(conversion: Conversion, nameEnd: string): FileOp {
  const op = opOf(conversion, nameEnd);
  if (op.kind !== 'file') throw new Error(`${nameEnd} is ${op.kind}`);
  return op;
}

export function sourceOf(conversion: Conversion, nameEnd: string): SourceOp {
  const op = opOf(conversion, nameEnd);
  if (op.kind !== 'source') throw new Error(`${nameEnd} is ${op.kind}`);
  return op;
}
