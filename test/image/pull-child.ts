// Run by puller.test.ts in a process of its own: pulls an image into a store once it is told to, prints the snapshot's name.
import { ImagePuller } from '../../src/image/puller.ts';
import { StoreImageResolver } from '../../src/image/resolver.ts';
import { RegistryClient } from '../../src/registry/registry-client.ts';
import { openStore } from '../../src/store/open-store.ts';

const [root = '', reference = ''] = process.argv.slice(2);
const platform = { os: 'linux', architecture: 'amd64' };
const store = openStore(root);
const resolver = new StoreImageResolver({ ...store, registry: () => new RegistryClient(), workingDir: '/' });
const { identifier } = await resolver.resolveImage(reference, { platform });
process.stdout.write('ready\n');
await new Promise((resolve) => process.stdin.once('data', resolve));
const puller = new ImagePuller({ ...store, isRootless: false });
process.stdout.write(`${await puller.pull(resolver.sourceOf(identifier, platform))}\n`);
store.close();
process.stdin.destroy();
