// Asks for the credentials of a host, as a build does, and prints them.
import { DockerCredentials } from '../../src/registry/credentials.ts';

const [, , host = ''] = process.argv;
process.stdout.write(`${JSON.stringify(await new DockerCredentials(process.env).lookup(host))}\n`);
