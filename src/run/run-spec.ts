// From an image's config and the flags to what the sandbox is given, by the rules of `docker run`.
import { type ContainerConfig, DEFAULT_PATH } from '../../frontend/image-config.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { OverlayMount, RunSpec, SandboxMount } from '../sandbox/executor.ts';
import type { RunOptions } from './run-options.ts';

interface RunSpecOptions {
  readonly config: ContainerConfig;
  readonly options: RunOptions;
  readonly rootfs: OverlayMount;
  readonly hostname: string;
}

/** Throws TSB_RUN_NO_COMMAND when neither the image nor the command line names one. */
export function makeRunSpec({ config, options, rootfs, hostname }: RunSpecOptions): RunSpec {
  const user = options.user ?? (config.User || '0');
  return {
    rootfs,
    mounts: mountsOf(options),
    process: {
      args: commandOf(config, options),
      env: environment(config, options, hostname),
      cwd: options.workingDir ?? (config.WorkingDir || '/'),
      user,
    },
    network: options.network,
    hostname,
    extraHosts: options.addHosts,
    isInsecure: false,
    isRootReadonly: options.isRootReadonly,
    ulimits: options.ulimits,
    ...(options.shmSizeBytes !== undefined && { shmSizeBytes: options.shmSizeBytes }),
  };
}

/** Those whose targets are inside another's come after it. */
function mountsOf({ volumes, tmpfs }: RunOptions): readonly SandboxMount[] {
  const binds = volumes.map(
    ({ source, dest, isReadonly }): SandboxMount => ({
      kind: 'bind',
      source,
      dest,
      readonly: isReadonly,
      isForeign: true,
    }),
  );
  const depth = ({ dest }: SandboxMount): number => dest.split('/').filter(Boolean).length;
  return [...tmpfs, ...binds].sort((a, b) => depth(a) - depth(b));
}

/** A new entrypoint drops the image's command; a new command replaces it alone. */
function commandOf(config: ContainerConfig, { entrypoint, command, image }: RunOptions): readonly string[] {
  const start = entrypoint === undefined ? (config.Entrypoint ?? []) : entrypoint === '' ? [] : [entrypoint];
  const rest = command.length > 0 ? command : entrypoint === undefined ? (config.Cmd ?? []) : [];
  const args = [...start, ...rest];
  if (args.length > 0) return args;
  throw new TsbuildError('TSB_RUN_NO_COMMAND', `no command given, and the image ${image} names none`, {
    hint: `such as: tsbuild run -it ${image} sh`,
  });
}

/** Later ones replace earlier ones in their place; a bare name takes one away. */
function environment(config: ContainerConfig, options: RunOptions, hostname: string): readonly string[] {
  const terminal = options.hasTerminal ? ['TERM=xterm'] : [];
  const variables = new Map<string, string>();
  for (const text of [
    `PATH=${DEFAULT_PATH}`,
    `HOSTNAME=${hostname}`,
    ...terminal,
    ...(config.Env ?? []),
    ...options.env,
  ]) {
    if (text.includes('=')) variables.set(text.slice(0, text.indexOf('=')), text);
    else variables.delete(text);
  }
  return [...variables.values()];
}
