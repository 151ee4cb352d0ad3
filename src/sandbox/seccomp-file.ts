// A seccomp profile of the user's, in the form Docker and Podman read them in.
import { readFileSync } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import { asList, asRecord, fieldOf, parseJSON } from '../image/untrusted-json.ts';
import type { MachineArch } from './seccomp.ts';
import { SECCOMP_ACTIONS } from './seccomp.ts';
import { SECCOMP_OPERATORS } from './seccomp-comparison.ts';
import type { SeccompArgument, SeccompCondition, SeccompProfile, SeccompRule } from './seccomp-profile.ts';

type Fields = Readonly<Record<string, unknown>>;

const OWN_ARCH: Readonly<Record<MachineArch, string>> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/** Reads a profile for a machine. Throws TSB_SECCOMP_PROFILE. */
export function readSeccompFile(path: string, arch: MachineArch): SeccompProfile {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw invalid(path, code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`);
  }
  const profile = asRecord(parseJSON(bytes));
  if (profile === undefined) throw invalid(path, 'it is no JSON object');
  return parseProfile(profile, arch, (fact) => invalid(path, fact));
}

type Complain = (fact: string) => TsbuildError;

function parseProfile(profile: Fields, arch: MachineArch, complain: Complain): SeccompProfile {
  const errno = fieldOf(profile, 'defaultErrnoRet', 'number');
  const architectures = architecturesOf(profile, arch);
  if (profile['syscalls'] !== undefined && profile['syscalls'] !== null && !Array.isArray(profile['syscalls'])) {
    throw complain('"syscalls" is no list');
  }
  const rules = asList(profile['syscalls']);
  return {
    defaultAction: actionOf(profile['defaultAction'], 'defaultAction', complain),
    ...(errno !== undefined && { defaultErrnoRet: errno }),
    ...(architectures !== undefined && { architectures }),
    syscalls: rules.map((rule, index) => parseRule(rule, `syscalls[${index}]`, complain)),
  };
}

function parseRule(value: unknown, place: string, complain: Complain): SeccompRule {
  const rule = asRecord(value);
  const single = rule === undefined ? undefined : fieldOf(rule, 'name', 'string');
  const names = single === undefined ? asList(rule?.['names']) : [single];
  if (rule === undefined || names.length === 0 || !names.every(isText)) throw complain(`${place} names no system call`);
  const errno = fieldOf(rule, 'errnoRet', 'number');
  const [includes, excludes] = ['includes', 'excludes'].map((name) => conditionOf(asRecord(rule[name])));
  return {
    names,
    action: actionOf(rule['action'], `${place}.action`, complain),
    ...(errno !== undefined && { errnoRet: errno }),
    args: asList(rule['args']).map((arg, index) => parseArgument(arg, `${place}.args[${index}]`, complain)),
    ...(includes !== undefined && { includes }),
    ...(excludes !== undefined && { excludes }),
  };
}

function parseArgument(value: unknown, place: string, complain: Complain): SeccompArgument {
  const fields = asRecord(value) ?? {};
  const index = fieldOf(fields, 'index', 'number');
  const wanted = fieldOf(fields, 'value', 'number') ?? 0;
  const valueTwo = fieldOf(fields, 'valueTwo', 'number') ?? 0;
  const op = fieldOf(fields, 'op', 'string') ?? '';
  if (!SECCOMP_OPERATORS.includes(op)) throw complain(`${place}.op "${op}" is no comparison`);
  if (index === undefined || !Number.isInteger(index) || index < 0 || index > 5) {
    throw complain(`${place}.index is no number from 0 to 5`);
  }
  // A number beyond 2^53 would be compared as another one.
  if (![wanted, valueTwo].every((number) => Number.isSafeInteger(number) && number >= 0)) {
    throw complain(`${place}.value is no whole number below 2^53`);
  }
  return { index, value: wanted, valueTwo, op };
}

function conditionOf(fields: Fields | undefined): SeccompCondition | undefined {
  if (fields === undefined) return undefined;
  const [caps, arches] = [asList(fields['caps']).filter(isText), asList(fields['arches']).filter(isText)];
  const minKernel = fieldOf(fields, 'minKernel', 'string');
  return {
    ...(caps.length > 0 && { caps }),
    ...(arches.length > 0 && { arches }),
    ...(minKernel !== undefined && minKernel !== '' && { minKernel }),
  };
}

/** The ABIs of this machine that the profile lets a process use; undefined when it says nothing of them. */
function architecturesOf(profile: Fields, arch: MachineArch): readonly string[] | undefined {
  const plain = asList(profile['architectures']).filter(isText);
  if (plain.length > 0) return plain;
  const maps = asList(profile['archMap']).map((entry) => asRecord(entry) ?? {});
  const own = maps.find((entry) => entry['architecture'] === OWN_ARCH[arch]);
  return own === undefined ? undefined : [OWN_ARCH[arch], ...asList(own['subArchitectures']).filter(isText)];
}

function actionOf(value: unknown, place: string, complain: Complain): string {
  if (isText(value) && SECCOMP_ACTIONS.includes(value)) return value;
  throw complain(`${place} ${JSON.stringify(value) ?? 'is missing and'} is no action: ${SECCOMP_ACTIONS.join(', ')}`);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function invalid(path: string, fact: string): TsbuildError {
  return new TsbuildError('TSB_SECCOMP_PROFILE', `invalid seccomp profile "${path}": ${fact}`, {
    hint: "it must be JSON of the form of Docker's default profile",
    exitCode: 2,
  });
}
