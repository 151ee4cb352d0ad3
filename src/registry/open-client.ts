// The registry client as a build uses it: Docker's credentials, the user's proxies, the system's certificates.
import type { Environment } from '../sys/environment.ts';
import { RegistryClient } from './registry-client.ts';

/** A client for the user's environment. The caller closes it. */
export function openRegistryClient(environment: Environment): RegistryClient {
  return new RegistryClient({ environment });
}
