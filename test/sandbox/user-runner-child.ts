// The child of a UserRunner: reads a spec per line, runs it, answers with a line.
import { createInterface } from 'node:readline';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';
import type { RunSpec } from '../../src/sandbox/executor.ts';
import { OCIRuntimeExecutor } from '../../src/sandbox/runtime-executor.ts';
import { enterUserNamespace, needsUserNamespace } from '../../src/sandbox/user-namespace.ts';
import { LocalRunner } from './sandbox-runner.ts';

if (needsUserNamespace()) await enterUserNamespace();
const [, , stateDir = '', runtime] = process.argv;
const runner = new LocalRunner(
  runtime === undefined ? new EmbeddedExecutor({ stateDir }) : new OCIRuntimeExecutor({ stateDir, runtime }),
);
for await (const line of createInterface({ input: process.stdin })) {
  const spec = JSON.parse(line, (_, value: unknown) => {
    const base64 = (value as { base64?: string } | null)?.base64;
    return base64 === undefined ? value : Buffer.from(base64, 'base64');
  }) as RunSpec;
  const { status, error, stdout, stderr } = await runner.run(spec);
  const answer = { status, error, stdout: stdout.toString('base64'), stderr: stderr.toString('base64') };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await runner.close();
