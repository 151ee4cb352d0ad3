// The config.json of an OCI runtime bundle for a run: the same sandbox as the embedded one, in the runtime's words.
// https://github.com/opencontainers/runtime-spec/blob/main/config.md
import { DEFAULT_SHM_BYTES } from './executor.ts';
import { capabilityNames, DEFAULT_CAPABILITIES } from './capabilities.ts';
import type { ResourceLimits } from './cgroup-limits.ts';
import { gainsNothing, limitsOf } from './identity-steps.ts';
import type { RunPlan } from './run-plan.ts';
import type { SandboxHost } from './sandbox-host.ts';
import { isKernelAtLeast, type MachineArch } from './seccomp.ts';
import { dockerProfile, type SeccompCondition, type SeccompProfile } from './seccomp-profile.ts';

interface RuntimeConfigOptions {
  readonly plan: RunPlan;
  readonly host: SandboxHost;
  /** Path of the mounted root filesystem. */
  readonly rootfs: string;
  readonly mounts: readonly RuntimeMount[];
  /** The machine's own, where no fresh one can be mounted. */
  readonly sys: RuntimeMount | undefined;
  readonly cgroupsPath: string;
}

/** A mount in the words of the specification; options are those of mount(8). */
export interface RuntimeMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

const HARDENED = ['nosuid', 'noexec', 'nodev'];

/** The config.json as a value; the root filesystem is mounted at `rootfs` by then. */
export function runtimeConfig({ plan, host, rootfs, mounts, sys, cgroupsPath }: RuntimeConfigOptions): object {
  const { spec } = plan;
  return {
    ociVersion: '1.0.2',
    root: { path: rootfs, readonly: spec.rootfs.upperDir === undefined || spec.isRootReadonly === true },
    hostname: spec.hostname,
    process: processConfig(plan, host),
    mounts: [...kernelMounts(plan, host, sys), ...mounts],
    linux: {
      // A path of its own that cannot be made is an error; without one, a runtime makes do without cgroups.
      ...(!host.isUserNamespace && { cgroupsPath }),
      namespaces: namespaces(plan, host),
      resources: { devices: [{ allow: false, access: 'rwm' }], ...resources(spec.limits ?? {}) },
      ...(!spec.isInsecure && {
        ...(spec.seccomp !== 'unconfined' && { seccomp: seccompConfig(spec.seccomp ?? dockerProfile(), host.arch) }),
        maskedPaths: host.maskedPaths.map(({ path }) => path),
        readonlyPaths: host.readonlyPaths,
      }),
    },
  };
}

function resources(limits: ResourceLimits): object {
  const { memoryBytes, memorySwapBytes, cpuShares, cpuQuotaUs, cpuPeriodUs, cpusetCpus, cpusetMems } = limits;
  const { pidsLimit, ioWeight } = limits;
  const swap = memorySwapBytes === undefined ? {} : { swap: memorySwapBytes };
  return {
    ...(memoryBytes !== undefined && { memory: { limit: memoryBytes, ...swap } }),
    ...(pidsLimit !== undefined && { pids: { limit: pidsLimit } }),
    ...(ioWeight !== undefined && { blockIO: { weight: ioWeight } }),
    cpu: {
      ...(cpuShares !== undefined && { shares: cpuShares }),
      ...(cpuQuotaUs !== undefined && { quota: cpuQuotaUs, period: cpuPeriodUs ?? 100_000 }),
      ...(cpusetCpus !== undefined && { cpus: cpusetCpus }),
      ...(cpusetMems !== undefined && { mems: cpusetMems }),
    },
  };
}

function processConfig(plan: RunPlan, host: SandboxHost): object {
  const { spec, user, env } = plan;
  const all = (1n << BigInt(host.lastCapability + 1)) - 1n;
  const capabilities = capabilityNames((spec.isInsecure ? all : DEFAULT_CAPABILITIES) & host.permitted);
  return {
    terminal: plan.isTerminal || plan.ownsTerminal,
    user: { uid: user.uid, gid: user.gid, umask: 0o022, ...(host.canSetGroups && { additionalGids: user.groups }) },
    args: spec.process.args,
    env,
    cwd: spec.process.cwd === '' ? '/' : spec.process.cwd,
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    rlimits: limitsOf(plan, host).map(({ name, soft, hard }) => ({ type: `RLIMIT_${name.toUpperCase()}`, soft, hard })),
    noNewPrivileges: gainsNothing(plan, host),
  };
}

/** A network made before is joined already, and the runtime keeps what it finds. */
function namespaces({ network }: RunPlan, host: SandboxHost): object[] {
  const types = ['pid', 'ipc', 'uts', 'mount'];
  if (network.mode === 'none') types.push('network');
  if (host.cgroups === 'v2') types.push('cgroup');
  return types.map((type) => ({ type }));
}

function kernelMounts(
  { spec, proc, dev, sys }: RunPlan,
  host: SandboxHost,
  hostSys: RuntimeMount | undefined,
): readonly RuntimeMount[] {
  const readonly = spec.isInsecure ? [] : ['ro'];
  const devpts = [
    'nosuid',
    'noexec',
    'newinstance',
    'ptmxmode=0666',
    'mode=0620',
    ...(host.canSetGroups ? ['gid=5'] : []),
  ];
  const shm = [...HARDENED, 'mode=1777', `size=${spec.shmSizeBytes ?? DEFAULT_SHM_BYTES}`];
  const mounts = [
    { destination: proc, type: 'proc', source: 'proc', options: HARDENED },
    { destination: dev, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    { destination: `${dev}/pts`, type: 'devpts', source: 'devpts', options: devpts },
    { destination: `${dev}/shm`, type: 'tmpfs', source: 'shm', options: shm },
    { destination: `${dev}/mqueue`, type: 'mqueue', source: 'mqueue', options: HARDENED },
    hostSys ?? { destination: sys, type: 'sysfs', source: 'sysfs', options: [...HARDENED, ...readonly] },
  ];
  const cgroup = {
    destination: `${sys}/fs/cgroup`,
    type: 'cgroup',
    source: 'cgroup',
    options: [...HARDENED, ...readonly],
  };
  return host.isUserNamespace ? mounts : [...mounts, cgroup];
}

const ARCHITECTURES: Readonly<
  Record<MachineArch, { readonly docker: readonly string[]; readonly oci: readonly string[] }>
> = {
  x64: { docker: ['amd64', 'x86', 'x32'], oci: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
  arm64: { docker: ['arm64', 'arm'], oci: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'] },
};

/** A profile with its conditions decided. */
function seccompConfig(profile: SeccompProfile, arch: MachineArch): object {
  const held = new Set(capabilityNames(DEFAULT_CAPABILITIES));
  const { defaultAction, defaultErrnoRet, syscalls } = profile;
  const { docker, oci } = ARCHITECTURES[arch];
  const applies = ({ caps, arches, minKernel }: SeccompCondition): boolean =>
    (caps ?? []).every((name) => held.has(name)) &&
    (minKernel === undefined || isKernelAtLeast(minKernel)) &&
    (arches === undefined || arches.some((name) => docker.includes(name)));
  const excludes = ({ caps, arches, minKernel }: SeccompCondition): boolean =>
    (caps ?? []).some((name) => held.has(name)) ||
    (minKernel !== undefined && isKernelAtLeast(minKernel)) ||
    (arches ?? []).some((name) => docker.includes(name));
  return {
    defaultAction,
    ...(defaultErrnoRet !== undefined && { defaultErrnoRet }),
    architectures: profile.architectures ?? oci,
    syscalls: syscalls
      .filter((rule) => applies(rule.includes ?? {}) && !excludes(rule.excludes ?? {}))
      .map(({ names, action, errnoRet, args }) => ({
        names,
        action,
        ...(errnoRet !== undefined && { errnoRet }),
        ...(args && args.length > 0 && { args }),
      })),
  };
}
