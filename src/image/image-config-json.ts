// The bytes of an image config, as BuildKit writes them: compact, top-level keys in byte order, `config` in the order of
// Go's struct. The imageID is the digest of these bytes, so equal images have equal ids whoever built them.
import type { ContainerConfig, HealthcheckConfig, HistoryEntry, ImageConfig } from '../../frontend/image-config.ts';
import { encodeGoJSON, type GoJSONStruct, type GoJSONValue, omitEmptyMap, omitZero } from '../../solver/go-json.ts';

/** The config as the blob that a manifest names; with `inlineCache` it carries cache records. */
export function encodeImageConfig(config: ImageConfig, inlineCache?: Uint8Array): Buffer {
  return Buffer.from(
    encodeGoJSON({
      architecture: config.architecture,
      author: omitZero(config.author),
      config: containerStruct(config.config),
      created: config.created,
      history: config.history.map(historyStruct),
      'moby.buildkit.cache.v0': inlineCache,
      os: config.os,
      'os.features': omitZero(config['os.features']),
      'os.version': omitZero(config['os.version']),
      rootfs: { type: 'layers', diff_ids: config.rootfs.diff_ids },
      variant: omitZero(config.variant),
    }),
  );
}

function containerStruct(config: ContainerConfig): GoJSONStruct {
  return {
    User: omitZero(config.User),
    ExposedPorts: setMap(config.ExposedPorts),
    Env: omitZero(config.Env),
    Entrypoint: omitZero(config.Entrypoint),
    Cmd: omitZero(config.Cmd),
    Volumes: setMap(config.Volumes),
    WorkingDir: omitZero(config.WorkingDir),
    Labels: omitEmptyMap(config.Labels),
    StopSignal: omitZero(config.StopSignal),
    ArgsEscaped: omitZero(config.ArgsEscaped),
    Healthcheck: config.Healthcheck === undefined ? undefined : healthcheckStruct(config.Healthcheck),
    OnBuild: omitZero(config.OnBuild),
    Shell: omitZero(config.Shell),
  };
}

function healthcheckStruct(healthcheck: HealthcheckConfig): GoJSONStruct {
  return {
    Test: omitZero(healthcheck.Test),
    Interval: omitZero(healthcheck.Interval),
    Timeout: omitZero(healthcheck.Timeout),
    StartPeriod: omitZero(healthcheck.StartPeriod),
    StartInterval: omitZero(healthcheck.StartInterval),
    Retries: omitZero(healthcheck.Retries),
  };
}

function historyStruct(entry: HistoryEntry): GoJSONStruct {
  return {
    created: entry.created,
    created_by: omitZero(entry.created_by),
    author: omitZero(entry.author),
    comment: omitZero(entry.comment),
    empty_layer: omitZero(entry.empty_layer),
  };
}

function setMap(
  names: Readonly<Record<string, Record<string, never>>> | undefined,
): ReadonlyMap<string, GoJSONValue> | undefined {
  return omitEmptyMap(
    names === undefined ? undefined : Object.fromEntries(Object.keys(names).map((name) => [name, {}])),
  );
}
