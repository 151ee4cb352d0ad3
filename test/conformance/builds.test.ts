// Whole builds compared with BuildKit's results, as root and as an ordinary user.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeCallers } from '../e2e/harness.ts';
import { SHARED } from '../needs.ts';

interface KnownDifference {
  readonly case: string;
  readonly reason: string;
}

const runner = join(SHARED, 'conformance', 'run.py');
const lab = process.env['TSBUILD_LAB'] ?? join(homedir(), '.cache', 'tsbuild-lab');
const known: readonly KnownDifference[] = JSON.parse(
  readFileSync(join(import.meta.dirname, 'known-differences.json'), 'utf8'),
);

describeCallers('conformance', { needs: ['root', 'lab', runner, 'python3'] }, (caller) => {
  it('builds every firm case as BuildKit does', { timeout: 900_000 }, () => {
    const readable = readableLab(caller.home);
    const report = join(caller.home, 'report.json');
    const builder = `${caller.command.join(' ')} build -f {dockerfile} -t {tag} {build_args} --no-cache -o type=oci,dest={dest} {context}`;
    const result = spawnSync(
      caller.prefix[0] ?? 'python3',
      [
        ...caller.prefix.slice(1),
        ...(caller.prefix.length > 0 ? ['python3'] : []),
        runner,
        '--builder',
        builder,
        '-j',
        '2',
        '--json',
        report,
        '-v',
      ],
      {
        encoding: 'utf8',
        cwd: caller.home,
        maxBuffer: 1 << 28,
        env: {
          PATH: process.env['PATH'] ?? '',
          HOME: caller.home,
          TSBUILD_ROOT: join(caller.home, 'store'),
          CONF_WORK: join(caller.home, 'work'),
          TSBUILD_LAB: readable,
        },
      },
    );
    const text = `${result.stdout}${result.stderr}`;
    expect(existsSync(report), text.slice(-4000)).toBe(true);
    const { rows } = JSON.parse(readFileSync(report, 'utf8')) as {
      rows: [name: string, verdict: string, differences: unknown][];
    };
    expect(rows.length).toBeGreaterThan(80);
    const differing = rows
      .filter(([, verdict]) => !['pass', 'known', 'soft', 'skipped'].includes(verdict))
      .map(([name]) => name);
    expect(differing.sort(), text.slice(-8000)).toEqual(known.map((difference) => difference.case).sort());
  });
});

/** What the runner needs of the lab, in a directory of the caller's. */
function readableLab(home: string): string {
  const readable = mkdtempSync(join(home, 'lab-'));
  chmodSync(readable, 0o755);
  const bases = readFileSync(join(lab, 'bases.json'), 'utf8');
  for (const { tars } of Object.values(JSON.parse(bases) as Record<string, { tars: string[] }>)) {
    for (const tar of tars) if (existsSync(tar)) execFileSync('cp', [tar, readable]);
  }
  writeFileSync(join(readable, 'bases.json'), bases.replaceAll(lab, readable));
  execFileSync('chmod', ['-R', 'a+rX', readable]);
  return readable;
}
