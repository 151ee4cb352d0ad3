// The network of steps, by making one.
import { accessSync, constants, existsSync } from 'node:fs';
import { InitExecutable } from '../sandbox/init-process.ts';
import { StepNetworks } from '../sandbox/network-pool.ts';
import { machineArch } from '../sandbox/sandbox-host.ts';
import { findExecutable } from '../sandbox/user-namespace.ts';
import { type Check, checkOf } from './check.ts';

const NETWORK = checkOf('network');
const TUN = '/dev/net/tun';

/** Which helper gives steps a network of their own; without one they share this machine's, which is a warning. */
export async function checkNetwork(): Promise<Check> {
  let problem = '';
  const networks = new StepNetworks((note) => {
    problem = note.slice(0, note.indexOf(';'));
  });
  const init = new InitExecutable(machineArch());
  try {
    using lent = await networks.lend({ network: 'sandbox', isInsecure: false }, init, new AbortController().signal);
    const { network } = lent;
    if (network.mode !== 'joined') return NETWORK.warning(problem, fix());
    return NETWORK.ok(`steps have a network of their own through ${network.helper.name} (${network.helper.path})`);
  } finally {
    networks.close();
    init.close();
  }
}

function fix(): string {
  const hasHelper = ['slirp4netns', 'pasta'].some((name) => findExecutable(name) !== undefined);
  const install = hasHelper ? '' : '; and install slirp4netns or passt';
  if (!existsSync(TUN)) return `as root, run: modprobe tun (a container needs the device /dev/net/tun)${install}`;
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
    return 'install slirp4netns or passt, or build with --network=host';
  } catch {
    return `as root, run: chmod 666 ${TUN}${install}`;
  }
}
