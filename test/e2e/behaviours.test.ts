// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Dockerfiles
// Behaviours that BuildKit's own integration tests ask for, one small build each; the steps judge themselves. The number
// and the name in brackets are those of the table in test/README.md.
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type ContextFiles, describeRoot, outputOf, REGISTRY, writeContext } from './harness.ts';

interface Behaviour {
  readonly name: string;
  /** `B` is busybox. */
  readonly dockerfile: string;
  readonly files?: ContextFiles;
  readonly flags?: readonly string[];
  /** Must be in what a failing build says. */
  readonly error?: RegExp;
  /** Must be in what a good build says. */
  readonly says?: RegExp;
}

const tree: ContextFiles = {
  foo: 'foo',
  bar: 'bar',
  'd/a': 'a',
  'd/s/b': 'b',
  'd/l': { link: 'a' },
  sh: { text: '#!/bin/sh\necho ran', mode: 0o755 },
};
const is = (value: string, expected: string): string => `RUN test "${value}" = "${expected}"\n`;

const BEHAVIOURS: readonly Behaviour[] = [
  {
    name: '6 [testDockerfileAddArchiveWildcard]',
    dockerfile:
      'FROM B\nRUN mkdir /p && echo 1 >/p/x && tar -cf /1.tar -C /p x && echo 2 >/p/y && tar -cf /2.tar -C /p y\nFROM B\nADD foo* /w/\nCOPY --from=0 /*.tar /t/\nRUN test -f /t/1.tar && test -f /t/2.tar && test -f /w/foo\n',
  },
  {
    name: '7 [testDockerfileAddChownExpand]',
    dockerfile:
      'FROM B\nARG owner=7:8\nADD --chown=$owner foo /f\nARG group\nENV owner 9\nCOPY --chown=${owner}:${group} foo /g\nRUN test $(stat -c %u:%g /f) = 7:8 && test $(stat -c %u:%g /g) = 9:5\n',
    flags: ['--build-arg', 'group=5'],
  },
  {
    name: '9 [testAddInvalidChmod]',
    dockerfile: 'FROM B\nADD --chmod=64a foo /\n',
    error: /invalid chmod parameter: '64a'\. it should be octal string and between 0 and 07777/,
  },
  {
    name: '10 [testAddChecksum] of a local file',
    dockerfile: `FROM B\nADD --checksum=sha256:${'0'.repeat(64)} foo /\n`,
    error: /checksum requires HTTP\(S\) or Git sources|checksum/,
  },
  {
    name: '14 [testGlobalArg]',
    dockerfile: `ARG tag=nope\nARG in=1\nFROM B AS a\nARG in\n${is('$in$tag', '2')}`,
    flags: ['--build-arg', 'in=2'],
  },
  { name: '15 [testGlobalArgErrors]', dockerfile: 'ARG v=${x:?no-x}\nFROM B\n', error: /Dockerfile:1:[\s\S]*x: no-x/ },
  {
    name: '16 [testArgDefaultExpansion]',
    dockerfile: `FROM B\nARG a=\${none:?must} b=\${none:-d}\n${is('$a$b', 'gd')}`,
    flags: ['--build-arg', 'a=g'],
  },
  {
    name: '17 [testMultiArgs]',
    dockerfile: `ARG a1="foo bar" a2=box\nARG a3="$a2-foo"\nFROM B AS base\nARG a1 a2 a3="bar-box" a4="box-foo:123 456"\nFROM base\n${is('$a1:$a4', 'foo bar:box-foo:123 456')}`,
  },
  {
    name: '18 [testQuotedMetaArgs]',
    dockerfile: `ARG a1="sc"\nARG a2='ratch'\nARG a3=\${a1}\${a2}\nFROM \${a3} AS s\nCOPY foo /\nFROM B\nCOPY --from=s /foo /\n`,
  },
  {
    name: '19 [testTargetStageNameArg]',
    dockerfile: `FROM B AS foo\nARG TARGETSTAGE\n${is('$TARGETSTAGE', 'foo')}FROM B\nRUN false\n`,
    flags: ['--target', 'foo'],
  },
  {
    name: '19 [testTargetStageNameArg] without a name',
    dockerfile: `FROM B\nARG TARGETSTAGE\n${is('$TARGETSTAGE', 'default')}`,
  },
  {
    name: '21 [testDefaultEnvWithArgs]',
    dockerfile: `FROM scratch AS s\nCOPY --from=B / /\nARG my=1\n${is('$PATH:$my', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:1')}`,
  },
  {
    name: '22 [testEmptyStringArgInEnv]',
    dockerfile:
      'FROM B\nARG FOO\nARG BAR=\nARG BAZ=\nRUN env >/e; ! grep -q FOO= /e && grep -q "^BAR=$" /e && grep -q "^BAZ=x$" /e\n',
    flags: ['--build-arg', 'BAZ=x'],
  },
  {
    name: '23 [testEnvEmptyFormatting]',
    dockerfile: 'FROM B\nENV a= b="" c d\nENV e ""\nRUN env >/e; grep -q "^a=$" /e && grep -q "^b=$" /e\n',
    error: /can't find = in "c"|must be of the form|Syntax error/,
  },
  {
    name: '40 [testCmdShell]',
    dockerfile:
      'FROM B AS p\nSHELL ["ls"]\nENTRYPOINT my entry\nFROM p\nSHELL ["/bin/sh", "-ec"]\nRUN test -d /etc\nCMD foo bar\n',
  },
  { name: '42 [testIgnoreEntrypoint]', dockerfile: 'FROM B\nENTRYPOINT ["/nosuch"]\nRUN ["ls"]\nRUN true\n' },
  { name: '43 [testInvalidJSONCommands]', dockerfile: 'FROM B\nCMD [ "a", ]\nRUN [ "a" = "a" ]\n' },
  { name: '44 [testDockerfileInvalidCommand]', dockerfile: 'FROM B\nRUN invalidcmd\n', error: /exit code: 127[\s\S]*/ },
  {
    // There are no sessions: what another one would serve is a directory of its own here.
    name: '61 [testLocalCustomSessionID] from a directory beside the context',
    dockerfile: 'FROM B\nCOPY --from=other rig.ts /\nCOPY foo /\nRUN test -s /rig.ts && test -f /foo\n',
    flags: ['--build-context', `other=${join(import.meta.dirname, 'escape')}`],
  },
  {
    name: '46 [testEmptyDestDir], [testPreserveDestDirSlash]',
    dockerfile:
      'FROM B\nWORKDIR /w\nENV empty=""\nCOPY foo $empty\nCOPY bar .\nCOPY foo sub/\nRUN test -f /w/foo && test -f /w/bar && test -f /w/sub/foo\n',
  },
  {
    name: '47 [testCopyLinkDotDestDir], [testCopyLinkEmptyDestDir]',
    dockerfile:
      'FROM B\nWORKDIR /w\nENV empty=""\nCOPY --link foo $empty\nCOPY --link bar .\nRUN test -f /w/foo && test -f /w/bar\n',
  },
  {
    name: '48 [testCopyChownExistingDir]',
    dockerfile:
      'FROM B\nRUN mkdir -p /e/dir && chown 3:4 /e\nCOPY --chown=1:2 d /e\nRUN test $(stat -c %u:%g /e) = 3:4 && test $(stat -c %u:%g /e/a) = 1:2\n',
  },
  {
    name: '49 [testCopyChownCreateDest]',
    dockerfile:
      'FROM B\nCOPY --chown=1:2 foo /n/p/foo\nCOPY --chown=1:2 d /n2/q\nRUN test $(stat -c %u:%g /n)$(stat -c %u:%g /n/p)$(stat -c %u:%g /n2/q) = 1:21:21:2\n',
  },
  {
    name: '50 [testCopyChown]',
    dockerfile:
      'FROM B\nENV owner=1000\nARG group=nobody\nCOPY --chown=daemon foo /1\nCOPY --chown=daemon:daemon foo /2\nCOPY --chown=$owner:$group foo /3\nRUN test "$(stat -c %U:%G /1 /2 | tr "\\n" " ")" = "daemon:daemon daemon:daemon " && test $(stat -c %u /3) = 1000\n',
  },
  {
    name: '51 [testCopyChmod], [testChmodNonOctal]',
    dockerfile:
      'FROM B\nARG m=0640\nCOPY --chmod=$m foo /np/f\nCOPY --chmod=u=rwX,go=rX sh d/a /s/\nRUN test $(stat -c %a /np/f) = 640 && test $(stat -c %a /np) = 640 && test $(stat -c %a /s/sh /s/a | tr "\\n" :) = 755:644:\n',
  },
  { name: '52 [testEmptyWildcard]', dockerfile: 'FROM B\nCOPY foo* nothing* /e/\nRUN test $(ls /e) = foo\n' },
  {
    name: '53 [testCopyThroughSymlinkContext]',
    dockerfile: 'FROM B\nCOPY link/s/b /1\nCOPY link/l /2\nRUN test $(cat /1)$(cat /2) = ba && ! test -L /2\n',
    files: { ...tree, link: { link: 'd' } },
  },
  {
    name: '53 [testCopyThroughSymlinkMultiStage]',
    dockerfile:
      'FROM B AS s\nRUN mkdir -p /real/x && echo y >/real/x/y && ln -s /real/x /abs && ln -s real/x /rel\nFROM B\nCOPY --from=s /abs/y /1\nCOPY --from=s /rel/y /2\nCOPY --from=s /abs/ /3\nRUN test $(cat /1 /2 /3/y | wc -l) = 3\n',
  },
  {
    name: '56 [testCopyOverrideFiles]',
    dockerfile: 'FROM B\nCOPY d /x\nCOPY d /x\nCOPY files /x\nRUN test $(cat /x/a)$(cat /x/s/b)$(cat /x/n) = 2bn\n',
    files: { ...tree, 'files/a': '2', 'files/n': 'n' },
  },
  {
    name: '57 [testCopyVarSubstitution], [testCopyRelative], [testCopyUnicodePath]',
    dockerfile:
      'FROM B\nENV FOO=foo\nCOPY $FOO /baz\nCOPY d/s .\nWORKDIR /w\nCOPY d/s s/\nCOPY föö-55 /\nRUN test -f /baz && test -f /b && test -f /w/s/b && test -f /föö-55\n',
    files: { ...tree, 'föö-55': 'u' },
  },
  {
    name: '58 [testCopyParents]',
    dockerfile:
      'FROM B\nCOPY --parents d/s/b foo /1/\nCOPY --parents d/./s /2/\nCOPY --parents ./**/b /3/\nRUN test -f /1/d/s/b && test -f /1/foo && test -f /2/s/b && test -f /3/d/s/b && ! test -e /3/d/a\n',
  },
  {
    name: '58 [testCopyParentsMissingDirectory]',
    dockerfile: 'FROM B\nCOPY --parents nosuch/x /\n',
    error: /not found/,
  },
  {
    name: '59 [testExcludedFilesOnCopy]',
    dockerfile:
      'FROM B\nCOPY --exclude=**/b --exclude=foo . /1/\nCOPY --link --exclude=* --exclude=!a d /2/\nRUN test ! -e /1/foo && test ! -e /1/d/s/b && test -f /1/d/a && test $(ls /2) = a\n',
  },
  {
    name: '60 [testDockerfileCopyFromArgs]',
    dockerfile: 'FROM B AS s\nFROM B\nARG x=s\nCOPY --from=$x /etc/passwd /\n',
    error: /\$x/,
  },
  { name: '62 [testDockerfileLowercase]', dockerfile: '', files: { dockerfile: 'FROM B\nRUN true\n' } },
  {
    name: '63 [testSymlinkDestination]',
    dockerfile:
      'FROM B\nRUN mkdir /real && ln -s ../../../real /lnk\nCOPY foo /lnk/\nRUN test -f /real/foo && test -L /lnk\n',
  },
  { name: '66 [testExposeExpansion]', dockerfile: 'FROM B\nARG PORT=3000\nEXPOSE $PORT/tcp 3001-3003\n' },
  {
    name: '68 [testUser], 69 [testUserAdditionalGids]',
    dockerfile:
      'FROM B\nRUN echo u:x:1001:1002::/h:/bin/sh >>/etc/passwd; printf "one:x:1101:u\\ntwo:x:1102:a,u\\ngap:x:1103:uu\\nown:x:1002:u\\n" >>/etc/group\nUSER u\nRUN test "$(id -G)" = "1002 1101 1102" && test $HOME = /h\nUSER 42:one\nRUN test "$(id -u):$(id -g):$(id -G)" = 42:1101:1101\nUSER 1001\nRUN test "$(id -G)" = "1002 1101 1102"\n',
  },
  {
    name: '71 [testStepNames]',
    dockerfile: 'FROM B AS base\nRUN true\nRUN : two\nFROM base\nRUN true\n',
    flags: ['--no-cache'],
    says: /\[base 3\/3\] RUN : two/,
  },
  {
    name: '75 [testWorkdirCreatesDir], [testWorkdirUser], [testWorkdirExists], [testWorkdirCopyIgnoreRelative]',
    dockerfile:
      'FROM B AS s\nRUN echo u:x:1000:1000::/:/bin/sh >>/etc/passwd && mkdir /old && chown 5:5 /old\nWORKDIR /foo\nRUN echo f >f\nUSER u\nWORKDIR /mine/deep\nRUN test $(stat -c %u /mine/deep) = 1000\nWORKDIR /old\nRUN test $(stat -c %u .) = 5\nFROM B\nWORKDIR /other\nCOPY --from=s foo/f .\nRUN test -f /other/f\n',
  },
  {
    name: '91 [testCopyHeredoc], [SpecialSymbols]',
    dockerfile:
      'FROM B\nARG n=bar\nCOPY <<one <<"two" <<-three /h/\nname $n \\$n \'$n\' "q" `x`\none\nname $n \\ \ntwo\n\t\ttab $n\n\tthree\nRUN printf \'name bar $n \\047bar\\047 "q" `x`\\n\' | cmp - /h/one && printf \'name $n \\134 \\n\' | cmp - /h/two && test "$(cat /h/three)" = "tab bar"\n',
  },
  {
    name: '92 [testRunBasicHeredoc], [testRunFakeHeredoc]',
    dockerfile:
      'FROM B\nRUN <<EOF\necho one >/1\nfalse || echo two >/2\nEOF\nRUN echo "<<EOF" >/3\nRUN test -f /1 && test -f /2 && test "$(cat /3)" = "<<EOF"\n',
  },
  {
    name: '93 [testRunShebangHeredoc]',
    dockerfile:
      'FROM B\nRUN <<EOF\n#!/bin/awk BEGIN{print"x">"/o"}\nEOF\nRUN <<S\n#!/bin/sh -e\necho $0 >/n\nS\nRUN test -f /o && grep -q pipes /n\n',
  },
  {
    name: '94 [testRunComplexHeredoc]',
    dockerfile:
      'FROM B\nRUN (cat; cat <&3) <<A 3<<B >/o\nfirst\nA\nsecond\nB\nRUN test "$(tr "\\n" : </o)" = first:second:\n',
  },
  {
    name: '95 [testHeredocIndent], [testHeredocVarSubstitution]',
    dockerfile:
      'FROM B\nENV v=1\nRUN <<-EOF\n\techo a >/1\n\t\techo $v${v:+x} >>/1\n\tEOF\nRUN test "$(tr "\\n" : </1)" = a:1x:\n',
  },
  {
    name: '96 [testOnBuildHeredoc]',
    dockerfile:
      'FROM B AS p\nONBUILD COPY <<E /c\nhi\nE\nONBUILD RUN <<E\necho run >/r\nE\nFROM p\nRUN test $(cat /c)$(cat /r) = hirun\n',
  },
  {
    name: '97 [testMountContext], [testMountTmpfsSize], [testMountRWCache]',
    dockerfile:
      'FROM B\nRUN --mount=target=/c test -f /c/foo && ! touch /c/x 2>/dev/null\nRUN --mount=target=/c,rw touch /c/x\nRUN --mount=target=/c test ! -e /c/x\nRUN --mount=type=tmpfs,target=/t,size=131072k df -k /t | grep -q 131072\nRUN test ! -e /c && test ! -e /t\n',
  },
  {
    name: '98 [testMountInvalid]',
    dockerfile: 'FROM B\nRUN --mount=targt=/x true\n',
    error: /unexpected key 'targt' in 'targt=\/x' \(did you mean target\?\)/,
  },
  {
    name: '98 [testMountInvalid] type',
    dockerfile: 'FROM B\nRUN --mount=type=bnd,target=/x true\n',
    error: /unsupported mount type "bnd" \(did you mean bind\?\)/,
  },
  {
    name: '99 [testCacheMountUser], [DefaultID]',
    dockerfile:
      'FROM B AS one\nRUN --mount=type=cache,target=/k,mode=0751,uid=1001,gid=1002 test $(stat -c %a:%u:%g /k) = 751:1001:1002\nRUN --mount=type=cache,target=/shared touch /shared/mark\nFROM one\nRUN --mount=type=cache,target=/shared test -f /shared/mark\n',
  },
  {
    name: '99 [SourceEscape]',
    dockerfile:
      'FROM B\nRUN --mount=type=cache,id=esc,target=/k ln -s /etc /k/out\nRUN --mount=type=cache,id=esc,source=out,target=/k test ! -e /k/shadow\n',
  },
  {
    name: '100 [testMountEnvVar], [testMountArg], [testMountMetaArg], [testMountEnvAcrossStages]',
    dockerfile:
      'ARG M=/meta\nFROM B AS one\nENV E=/env\nARG A=/arg\nARG M\nRUN --mount=type=cache,id=v,target=$E touch /env/x\nRUN --mount=type=cache,id=v,target=$A test -f /arg/x\nRUN --mount=type=cache,id=v,target=${M} test -f /meta/x\nFROM one\nRUN --mount=type=cache,id=v,target=$E test -f /env/x\n',
  },
  {
    name: '100 [testMountFromError]',
    dockerfile: 'FROM B AS s\nFROM B\nENV X=s\nRUN --mount=from=$X,target=/x true\n',
    error: /'from' doesn't support variable expansion/,
  },
  {
    name: '100 [testMountDuplicate]',
    dockerfile: 'FROM B\nRUN --mount=source=d,target=/x --mount=source=d/s,target=/x test -f /x/b\n',
  },
  {
    name: '101 [testMountStubsDirectory], [testMountStubsTimestamp]',
    dockerfile:
      'FROM B\nRUN mkdir /p && touch -d "2002-02-02 02:02:02" /p\nRUN --mount=type=tmpfs,target=/p/a/b true\nRUN test ! -e /p/a && test $(date -r /p +%Y) = 2002\n',
  },
  {
    name: '102 [testMultiStageImplicitFrom], [CaseInsensitive]',
    dockerfile:
      'FROM B AS STAge0\nRUN echo 1 >/1\nFROM B\nCOPY --from=B /etc/group /g\nCOPY --from=stage0 /1 /\nRUN test -s /g && test -f /1\n',
  },
  { name: '102 [EmptyStages]', dockerfile: 'ARG x\n', error: /contains no stages|no build stage/ },
  {
    name: '103 [testOnBuildCleared], [InheritedStageWithFrom], [NewDeps]',
    dockerfile:
      'FROM B AS alpha\nRUN echo a >/a\nFROM B AS parent\nONBUILD COPY --from=alpha /a /got\nONBUILD RUN --mount=type=cache,target=/k echo x >>/n\nFROM parent AS child\nRUN test $(cat /got) = a && test $(wc -l </n) = 1\nFROM child\nRUN test $(wc -l </n) = 1\n',
  },
  {
    name: '104 [testPlatformArgsImplicit]',
    dockerfile: `FROM --platform=$BUILDPLATFORM B AS one\nARG TARGETOS TARGETARCH BUILDPLATFORM\n${is('$TARGETOS/$TARGETARCH', '$BUILDPLATFORM')}`,
  },
  {
    name: '105 [testSecretFileParams]',
    dockerfile:
      'FROM B\nRUN --mount=type=secret,required=false,mode=741,uid=100,gid=102,id=s,target=/mysecret test $(stat -c %u:%g:%f /mysecret) = 100:102:81e1\nRUN test ! -e /mysecret && test ! -e /run/secrets\n',
    flags: ['--secret', 'id=s,env=PATH'],
  },
  {
    name: '105 [RequiredWithoutValue]',
    dockerfile: 'FROM B\nRUN --mount=type=secret,required,id=mysecret foo\n',
    error: /secret mysecret: not found/,
  },
  {
    name: '105 [AsEnviron], [WithFileMount]',
    dockerfile:
      'FROM B\nRUN --mount=type=secret,id=s,env=SEC test -n "$SEC" && test ! -e /run/secrets/s\nRUN --mount=type=secret,id=s,env=SEC,target=/f test "$SEC" = "$(cat /f)"\n',
    flags: ['--secret', 'id=s,env=PATH'],
  },
  {
    name: '107 [testRunNoNetwork]',
    dockerfile: 'FROM B\nRUN --network=none ip link show lo | grep -q UP && test $(ls /sys/class/net | wc -l) = 1\n',
  },
  {
    name: '108 [testRunSecurityDefault]',
    dockerfile:
      'FROM B\nRUN grep -q "CapBnd:.*a80425fb" /proc/self/status\nRUN --security=sandbox grep -q "CapEff:.*a80425fb" /proc/self/status\n',
  },
  {
    name: '109 [testShmSize], [testUlimit]',
    dockerfile: 'FROM B\nRUN df -k /dev/shm | grep -q 131072 && test $(ulimit -n) = 1062\n',
    flags: ['--shm-size', '128m', '--ulimit', 'nofile=1062:1062'],
  },
];

describeRoot('what BuildKit’s own tests ask for', { needs: ['lab'] }, (caller) => {
  it.each(BEHAVIOURS)('$name', ({ dockerfile, files = tree, flags = [], error, says }) => {
    const full = (text: string): string =>
      text.replaceAll(/(FROM (?:--platform=\S+ )?|--from=)B(?=\s)/g, `$1${REGISTRY}/library/busybox`);
    const given = Object.entries(files).map(([name, file]) => [
      name,
      name === 'dockerfile' && typeof file === 'string' ? full(file) : file,
    ]);
    const context = writeContext(caller, {
      ...(Object.fromEntries(given) as ContextFiles),
      ...(dockerfile === '' ? {} : { Dockerfile: full(dockerfile) }),
    });
    const result = caller.tsbuild(['build', '--progress=plain', ...flags, context]);
    const text = outputOf(result);
    expect(result.status, text).toBe(error === undefined ? 0 : 1);
    if (error !== undefined) expect(text).toMatch(error);
    if (says !== undefined) expect(text).toMatch(says);
  });
});

describeRoot('a second build', { needs: ['lab'] }, (caller) => {
  const from = `FROM ${REGISTRY}/library/busybox\n`;
  const build = (context: string, ...flags: string[]): string => {
    const result = caller.tsbuild(['build', '--progress=plain', ...flags, context]);
    expect(result.status, outputOf(result)).toBe(0);
    return outputOf(result);
  };

  it('26 [testWildcardRenameCache]: copies again when a matched file has another name', () => {
    const context = writeContext(caller, { Dockerfile: `${from}COPY f* /\nRUN test -f /f2 || test -f /f1\n`, f1: 'x' });
    build(context);
    renameSync(join(context, 'f1'), join(context, 'f2'));
    expect(build(context)).not.toMatch(/COPY f\* \/\n#\d+ CACHED/);
  });

  it('27 [testCopyWildcardCache]: copies nothing again when another file changes', () => {
    const context = writeContext(caller, { Dockerfile: `${from}COPY f* /w/\n`, f1: 'x', other: 'y' });
    build(context);
    writeFileSync(join(context, 'other'), 'changed');
    expect(build(context)).toMatch(/COPY f\* \/w\/\n#\d+ CACHED/);
  });

  it('64 [testContextChangeDirToFile]: sees a file where a directory was', () => {
    const context = writeContext(caller, {
      Dockerfile: `${from}COPY x /x\nRUN cat /x /x/y 2>/dev/null; true\n`,
      'x/y': 'in',
    });
    build(context);
    rmSync(join(context, 'x'), { recursive: true });
    writeFileSync(join(context, 'x'), 'a file');
    expect(build(context)).toContain('a file');
  });

  it('65 [testNoSnapshotLeak]: adds no snapshot', () => {
    const context = writeContext(caller, { Dockerfile: `${from}COPY f /\nRUN echo 1 >/g\n`, f: 'x' });
    build(context);
    const before = readdirSync(join(caller.home, 'store/snapshots'));
    build(context);
    expect(readdirSync(join(caller.home, 'store/snapshots'))).toEqual(before);
  });

  it('20 [testBuiltinArgs]: keeps the cache when a proxy changes', () => {
    const context = writeContext(caller, { Dockerfile: `${from}RUN echo proxy $HTTP_PROXY\n` });
    expect(build(context, '--build-arg', 'HTTP_PROXY=one')).toContain('proxy one');
    expect(build(context, '--build-arg', 'HTTP_PROXY=two')).toMatch(/RUN echo proxy \$HTTP_PROXY\n#\d+ CACHED/);
  });
});
