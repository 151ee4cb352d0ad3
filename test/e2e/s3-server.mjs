// An S3-speaking server for tests: prints its port, and ends when its standard input does. It checks the access key and
// serves objects; it computes no V4 signatures: s3-verifier.py does, in front of it.
import S3rver from 's3rver';

const server = new S3rver({
  port: 0,
  address: '127.0.0.1',
  silent: true,
  directory: process.argv[2],
  configureBuckets: [{ name: 'caches' }],
});
const { port } = await server.run();
process.stdout.write(`${port}\n`);
process.stdin.resume().on('end', () => process.exit(0));
