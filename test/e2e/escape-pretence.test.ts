// What a step may try on the supervisor that pretends user ids to it, where a single id is mapped.
import { afterAll, expect, it } from 'vitest';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeNeeding } from '../needs.ts';
import { REGISTRY, singleIDCaller } from './harness.ts';

const IS_X64 = { name: 'x86-64', isHere: process.arch === 'x64' };

/** Every call that is answered, with arguments that are no addresses, no descriptors and no ids. */
const HOSTILE = `
$| = 1;
sub failing { my $number = shift; my $result = syscall($number, @_); return $result < 0 ? $! + 0 : 0; }
my @numbers = (102, 104, 107, 108, 118, 120, 115, 105, 106, 113, 114, 117, 119, 122, 123, 116, 92, 94, 93, 260, 4, 6, 5,
  262, 332, 59, 85, 83, 258, 133, 259, 88, 266, 2, 257, 157, 302, 160, 97);
mkdir "/made";
my $path = "/made/file\\0";
for my $who (0, 1000) {
  if ($who > 0) { $) = "1000 1000"; $( = 1000; $> = 1000; }
  for my $number (@numbers) {
    for my $arguments ([(-1) x 6], [$path, (-1) x 5], [-100, $path, (-1) x 4], [(9223372036854775807) x 6], [(1 << 53) x 6]) {
      if (fork() == 0) { syscall($number, @$arguments); exit 0; }
      wait;
    }
  }
  $> = 0;
}
printf "bad address: %d %d\\n", failing(4, -1, -1), failing(118, -1, -1, -1);
syscall(117, -1, 5, -1);
printf "kept: %d %d\\n", $<, $>;
$> = 0;
chdir "/made";
open(my $file, ">", "own");
my $own = "own\\0";
printf "chown: %d %d\\n", failing(260, -100, $own, 7, 8, 0), (stat "own")[4];
printf "groups: %d\\n", failing(116, -1, $path);
my $refused = 0;
for my $turn (1 .. 6000) {
  my $groups = pack("L*", $turn, 1 .. 1023);
  $refused++ if failing(116, 1024, $groups);
}
print $refused > 0 ? "table: full\\n" : "table: without end\\n";
`;

describeNeeding(['root', 'useradd', 'runuser', 'lab', IS_X64], 'the supervisor of pretended ids', () => {
  const caller = singleIDCaller();
  afterAll(() => caller.dispose());

  it('survives whatever a step asks it, and keeps no more than it has room for', () => {
    const context = join(caller.home, 'hostile');
    mkdirSync(context);
    writeFileSync(join(context, 'hostile.pl'), HOSTILE);
    writeFileSync(
      join(context, 'Dockerfile'),
      `FROM ${REGISTRY}/library/debian:bookworm\nRUN --mount=target=/c --network=none perl /c/hostile.pl\n`,
    );
    const { status, stderr } = caller.tsbuild(['build', '--progress=plain', context]);
    expect(status, stderr).toBe(0);
    const said = stderr.split('\n').flatMap((line) => /^#\d+ [\d.]+ (\w[\w ]*: .*)/.exec(line)?.[1] ?? []);
    expect(said).toEqual(['bad address: 14 14', 'kept: 0 5', 'chown: 0 7', 'groups: 22', 'table: full']);
  }, 120_000);
});
