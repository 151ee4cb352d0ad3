// RUN: its command and flags. Mounts stay text until their variables are known; only what never expands is checked.
import { dockerfileError } from './errors.ts';
import { quoteGo } from './go-text.ts';
import type { RunInstruction } from './instruction.ts';
import { type InstructionDraft, toCommandLine } from './parse-draft.ts';
import { checkDevice, checkMount } from './run-mount.ts';

/** Types a RUN. */
export function parseRun({ base, args, isJSON, flags }: InstructionDraft): RunInstruction {
  const values = flags({ mount: 'strings', network: 'string', security: 'string', device: 'strings' });
  const mounts = values.strings('mount');
  const network = values.string('network');
  const security = values.string('security');
  const devices = values.strings('device');
  for (const mount of mounts) checkMount(mount);
  if (network !== undefined && !['default', 'none', 'host'].includes(network)) {
    const message = `invalid network mode ${quoteGo(network)}`;
    throw dockerfileError('NETWORK_MODE', message, { word: `--network=${network}`, hint: 'use default, none or host' });
  }
  if (security !== undefined && !['sandbox', 'insecure'].includes(security)) {
    const message = `security ${quoteGo(security)} is not valid`;
    throw dockerfileError('SECURITY_MODE', message, {
      word: `--security=${security}`,
      hint: 'use sandbox or insecure',
    });
  }
  for (const device of devices) checkDevice(device);
  return { kind: 'RUN', ...base, command: toCommandLine(args, isJSON), mounts, network, security, devices };
}
