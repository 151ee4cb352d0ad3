// The registry client as a build uses it: Docker's credentials, the system's certificates.
import { DockerCredentials } from './credentials.ts';
import { RegistryClient } from './registry-client.ts';

/** A client with the credentials of the user's Docker configuration. The caller closes it. */
export function openRegistryClient(env: Readonly<Record<string, string | undefined>>): RegistryClient {
  return new RegistryClient({ credentials: new DockerCredentials(env) });
}
