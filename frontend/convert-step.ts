// One instruction's turn: the state of its stage before it, and after.
import { unreachable } from '../solver/errors.ts';
import { convertCopy } from './convert-copy.ts';
import {
  convertCmd,
  convertEntrypoint,
  convertExpose,
  convertHealthcheck,
  convertLabel,
  convertMaintainer,
  convertOnbuild,
  convertShell,
  convertStopsignal,
  convertUser,
  convertVolume,
} from './convert-metadata.ts';
import { convertRun } from './convert-run.ts';
import type { StepScope } from './convert-scope.ts';
import { convertArg, convertEnv } from './convert-variables.ts';
import { convertWorkdir } from './convert-workdir.ts';
import type { Instruction } from './instruction.ts';
import type { StageState } from './stage-state.ts';

/** The state after the instruction. Throws TsbuildError with BuildKit's text, often without a range. */
export function convertInstruction(state: StageState, instruction: Instruction, scope: StepScope): StageState {
  switch (instruction.kind) {
    case 'FROM':
      throw new Error('internal error: FROM inside a stage');
    case 'ARG':
      return convertArg(state, instruction, scope);
    case 'ENV':
      return convertEnv(state, instruction, scope);
    case 'LABEL':
      return convertLabel(state, instruction, scope);
    case 'RUN':
      return convertRun(state, instruction, scope);
    case 'COPY':
    case 'ADD':
      return convertCopy(state, instruction, scope);
    case 'CMD':
      return convertCmd(state, instruction, scope);
    case 'ENTRYPOINT':
      return convertEntrypoint(state, instruction, scope);
    case 'SHELL':
      return convertShell(state, instruction, scope);
    case 'WORKDIR':
      return convertWorkdir(state, instruction, scope);
    case 'USER':
      return convertUser(state, instruction, scope);
    case 'EXPOSE':
      return convertExpose(state, instruction, scope);
    case 'VOLUME':
      return convertVolume(state, instruction, scope);
    case 'STOPSIGNAL':
      return convertStopsignal(state, instruction, scope);
    case 'HEALTHCHECK':
      return convertHealthcheck(state, instruction, scope);
    case 'ONBUILD':
      return convertOnbuild(state, instruction);
    case 'MAINTAINER':
      return convertMaintainer(state, instruction, scope);
    default:
      return unreachable(instruction);
  }
}
