// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Dockerfiles
// Dockerfiles over one build context, each for some rule of the language, to be built by two builders and compared.
// `B` stands for the base image. What dockerd's BuildKit is too old for has its own tests.

interface DifferentialCase {
  readonly name: string;
  readonly dockerfile: string;
  /** Flags of both builders. */
  readonly flags?: readonly string[];
  /** Text of the context's .dockerignore. */
  readonly ignore?: string;
  readonly fails?: true;
}

/** Makes the context; run by sh in an empty directory, as root. Every file then gets one old time. */
export const CONTEXT_SCRIPT = `
umask 022
echo foo > foo; echo bar > bar; printf 'no newline' > 'sp ace'; echo u > 'ünï'; echo br > '[x]'; : > empty
mkdir -p dir/sub/deep dir/.hid emptydir tree/a tree/b
echo a > dir/a; echo b > dir/sub/b; echo d > dir/sub/deep/d; echo h > dir/.hidden; echo i > dir/.hid/i
ln -s a dir/l; ln -s ../foo dir/up; ln -s nowhere dir/broken; ln -s sub dir/subl; ln -s /foo abslink; ln -s foo lnk; ln -s dir lnkdir
echo one > tree/a/one.txt; echo two > tree/b/two.txt; echo three > tree/three.md
echo x > exec; chmod 755 exec; echo s > suid; chmod 4755 suid; echo g > sgid; chmod 2755 sgid; echo r > ro; chmod 400 ro
mkdir sgdir sticky priv; chmod 2775 sgdir; chmod 1777 sticky; chmod 700 priv; echo p > priv/p; echo q > sgdir/q; echo t > sticky/t
echo o > owned; chown 1234:5678 owned; mkdir odir; echo o > odir/f; chown -R 42:43 odir
mkdir hard; echo hl > hard/1; ln hard/1 hard/2; ln hard/1 hard/3
echo cap > cap; setcap cap_net_raw+ep cap; mkfifo fifo; mkdir fifodir; mkfifo fifodir/p
mkdir pack; echo in > pack/in; mkdir pack/d; chmod 750 pack/d; echo deep > pack/d/deep; ln -s in pack/ln; ln pack/in pack/hl; chown -R 11:12 pack/d
find pack -exec touch -h -d '2003-03-03T03:03:03Z' {} +
tar --sort=name -cf a.tar -C pack .; tar --sort=name -cf top.tar pack; gzip -nc a.tar > a.tgz; bzip2 -c a.tar > a.tbz; xz -c a.tar > a.txz
cp a.tgz plain.bin; echo 'not a tar' > liar.tar.gz; : > empty.tar
tar --sort=name -cf noparents.tar pack/d/deep pack/ln
rm -rf pack
find . -exec touch -h -d '2001-09-09T01:46:40Z' {} +
`;

const OWNERS =
  'RUN echo app:x:1001:2002::/home/app:/bin/sh >>/etc/passwd; echo grp:x:3003:app >>/etc/group; echo app:x:2002: >>/etc/group\n';

/** Both builders make the same image, or both refuse. */
export const CASES: readonly DifferentialCase[] = [
  // FROM
  { name: 'FROM alone', dockerfile: 'FROM B\n' },
  { name: 'FROM scratch', dockerfile: 'FROM scratch\nCOPY foo /\nCMD ["/foo"]\n' },
  {
    name: 'FROM an earlier stage inherits its config',
    dockerfile:
      'FROM B AS one\nENV A=1\nWORKDIR /w\nUSER 5\nLABEL l=1\nEXPOSE 1\nVOLUME /v\nENTRYPOINT ["e"]\nCMD ["c"]\nFROM one\nENV C=2\nCMD d\n',
  },
  {
    name: 'FROM with a global ARG',
    dockerfile: 'ARG BASE=B\nARG UNUSED\nFROM $BASE\nARG BASE\nRUN echo "$BASE" | wc -c >/n\n',
  },
  { name: 'stages that are not needed', dockerfile: 'FROM B AS bad\nRUN false\nFROM B\nCOPY foo /\n' },
  {
    name: '--target',
    dockerfile: 'FROM B AS one\nRUN echo 1 >/1\nFROM one AS two\nRUN echo 2 >/2\nFROM B\nRUN false\n',
    flags: ['--target', 'TWO'],
  },
  {
    name: 'COPY --from by name, number and case',
    dockerfile:
      'FROM B AS Base\nRUN echo 1 >/1\nFROM B\nRUN echo 2 >/2\nFROM B\nCOPY --from=bASE /1 /\nCOPY --from=1 /2 /x/\n',
  },
  { name: 'COPY --from an image', dockerfile: 'FROM scratch\nCOPY --from=B /etc/passwd /etc/group /got/\n' },
  // ARG and ENV
  {
    name: 'ARG and ENV scopes',
    dockerfile:
      'FROM B\nARG A=1\nARG B=$A-b C\nENV D=$A E="$B $C" F=${C:-none} G=${A:+alt}\nENV A=env\nRUN env | grep -v HOSTNAME | sort >/env\nARG A=later\nRUN echo $A >/a\n',
    flags: ['--build-arg', 'C=see', '--build-arg', 'A=given'],
  },
  {
    name: 'ENV forms',
    dockerfile:
      'FROM B\nENV a b  c\nENV d="x y" e=z\\ w f=\'$a\'\nENV g=$a h=$g\nENV a=2\nENV PATH=/x:$PATH\nRUN printf "%s\\n" "$a" "$d" "$e" "$f" "$g" "$h" "$PATH" >/o\n',
  },
  {
    name: 'ENV substitutions',
    dockerfile: 'FROM B\nENV v=val\nENV a=${v} b=${u:-d$v} c=${v:+x} d=${u:+x} e=\\$v f="${v}" g=\'${v}\'\n',
  },
  {
    name: 'an empty ARG and an unset one',
    dockerfile: 'FROM B\nARG E=\nARG U\nRUN env | grep -E "^[EU]=" >/o; true\n',
  },
  {
    name: 'ARG of the base stage is in the env of the child',
    dockerfile: 'FROM B AS one\nARG K=kept\nFROM one\nRUN echo "[$K]" >/o\n',
  },
  {
    name: 'platform args',
    dockerfile:
      'FROM B\nARG TARGETPLATFORM\nARG TARGETARCH\nARG BUILDOS\nRUN echo $TARGETPLATFORM $TARGETARCH $BUILDOS >/o\n',
  },
  {
    name: 'proxy args are in no config',
    dockerfile: 'FROM B\nRUN echo $HTTP_PROXY $no_proxy >/o\n',
    flags: ['--build-arg', 'HTTP_PROXY=http://p:1', '--build-arg', 'no_proxy=x'],
  },
  { name: 'a missing required variable', dockerfile: 'FROM B\nENV a=${u:?gone}\n', fails: true },
  // RUN
  {
    name: 'RUN forms',
    dockerfile:
      'FROM B\nRUN echo shell > /1\nRUN ["/bin/sh", "-c", "echo exec >/2"]\nSHELL ["/bin/sh", "-ec"]\nRUN echo a >/3; \\\n  # comment\n  echo b >>/3\nRUN [ "a" = "a" ] && echo c >/4\n',
  },
  { name: 'RUN that changes nothing', dockerfile: 'FROM B\nRUN true\nRUN mkdir /x && rmdir /x\n' },
  {
    name: 'RUN deletes and replaces',
    dockerfile:
      'FROM B\nRUN mkdir -p /d/e && echo 1 >/d/e/f && echo 2 >/d/g && ln -s g /d/l\nRUN rm -r /d/e && rm /d/l && mkdir /d/l && echo n >/d/l/n\nRUN rm -r /d && mkdir /d && echo new >/d/new\nRUN rm -r /var/spool && echo f >/var/spool\n',
  },
  {
    name: 'RUN and modes, owners, times, links',
    dockerfile:
      'FROM B\nRUN umask 0; echo x >/x; chmod 6755 /x; chown 123456:654321 /x; ln /x /y; mkfifo /p; mkdir -m 1777 /t; touch -d "2002-02-02 02:02:02" /x /t; ln -s /nowhere /s; echo a > "/a b"; mknod /n c 1 3\n',
  },
  {
    name: 'RUN moves a directory of the base',
    dockerfile: 'FROM B\nRUN mv /var/www /var/moved; mv /etc/group /etc/group2\n',
  },
  {
    name: 'RUN as users',
    dockerfile: `FROM B\n${OWNERS}USER app\nRUN id -u >/tmp/1; id -g >>/tmp/1; echo $HOME >>/tmp/1; touch /tmp/f\nUSER 4242\nRUN id -u >/tmp/2; id -g >>/tmp/2; echo $HOME >>/tmp/2\nUSER app:0\nRUN id -u >/tmp/3; id -g >>/tmp/3\nUSER 7:grp\nRUN id -u >/tmp/4; id -g >>/tmp/4\nUSER nobody:daemon\nRUN id -u >/tmp/5; id -g >>/tmp/5\n`,
  },
  { name: 'RUN as a user that is not there', dockerfile: 'FROM B\nUSER ghost\nRUN id\n', fails: true },
  {
    name: 'RUN sees its sandbox',
    dockerfile:
      'FROM B\nRUN grep -E "^Cap|^Seccomp:|^NoNew" /proc/self/status >/o; umask >>/o; pwd >>/o; cat >>/o; ls /proc/self/fd | wc -l >>/o; ls /dev | grep -v core >>/o; stat -c "%a %u" /dev/shm /dev/null /tmp >>/o; (tty || true) >>/o; ulimit -c >>/o\n',
  },
  { name: 'a failing RUN', dockerfile: 'FROM B\nRUN exit 3\n', fails: true },
  { name: 'a program that is not there', dockerfile: 'FROM B\nRUN ["/no/such"]\n', fails: true },
  {
    name: 'RUN --mount=bind',
    dockerfile:
      "FROM B AS s\nRUN mkdir /m && echo s >/m/f\nFROM B\nRUN --mount=target=/c ls -ln /c | awk '{print $1,$3,$4,$9}' >/1; touch /c/x 2>/dev/null || echo ro >>/1\nRUN --mount=type=bind,from=s,source=/m,target=/q,rw echo w >/q/w && cat /q/w >/2\nRUN --mount=type=bind,source=foo,target=/one cat /one >/3\n",
  },
  {
    name: 'RUN --mount=cache',
    dockerfile:
      'FROM B\nRUN --mount=type=cache,target=/k/c echo 1 >/k/c/f\nRUN --mount=type=cache,target=/k/c cat /k/c/f >/o\nRUN --mount=type=cache,target=/u,uid=12,gid=13,mode=0711,id=mine stat -c "%a %u %g" /u >>/o\n',
  },
  {
    name: 'RUN --mount=tmpfs and secret',
    dockerfile:
      'FROM B\nRUN --mount=type=tmpfs,target=/t echo x >/t/x; ls /t >/o\nRUN --mount=type=secret,id=none ls /run/secrets >>/o 2>&1; true\n',
  },
  { name: 'RUN --mount of an unknown type', dockerfile: 'FROM B\nRUN --mount=type=bnd,target=/x true\n', fails: true },
  {
    name: 'RUN --mount from a missing path',
    dockerfile: 'FROM B\nRUN --mount=source=nosuch,target=/x true\n',
    fails: true,
  },
  {
    name: 'a required secret that is not given',
    dockerfile: 'FROM B\nRUN --mount=type=secret,id=s,required true\n',
    fails: true,
  },
  // COPY: destinations
  {
    name: 'COPY of a file to names and directories',
    dockerfile:
      'FROM B\nCOPY foo /one\nCOPY foo /two/\nCOPY foo /n/e/w\nCOPY foo bar /many/\nCOPY foo /etc\nCOPY ["sp ace", "/sp dir/"]\nCOPY empty /etc/empty\nWORKDIR /wd\nCOPY foo .\nCOPY foo rel/x\nCOPY foo ./\nCOPY foo ../up\n',
  },
  {
    name: 'COPY of a directory',
    dockerfile:
      'FROM B\nCOPY dir /d\nCOPY dir /e/\nCOPY dir/ /f\nCOPY tree hard /g/\nCOPY emptydir /h\nCOPY dir/sub/deep /i/j/k\n',
  },
  { name: 'COPY of the whole context', dockerfile: 'FROM B\nCOPY . /all/\n', ignore: 'fifo\nfifodir\n' },
  { name: 'COPY of several sources to one name', dockerfile: 'FROM B\nCOPY foo bar /x\n' },
  { name: 'COPY with one argument', dockerfile: 'FROM B\nCOPY foo\n', fails: true },
  { name: 'COPY of a missing file', dockerfile: 'FROM B\nCOPY nosuch /\n', fails: true },
  { name: 'COPY out of the context', dockerfile: 'FROM B\nCOPY ../foo /x\nCOPY /foo /y\nCOPY ./dir/../foo /z\n' },
  {
    name: 'COPY of links',
    dockerfile:
      'FROM B\nCOPY lnk /plain\nCOPY lnkdir /fromlink\nCOPY abslink /abs\nCOPY dir/l dir/up /ls/\nCOPY lnkdir/sub /through\nCOPY lnkdir/sub/b /through2\n',
  },
  { name: 'COPY of a broken link', dockerfile: 'FROM B\nCOPY dir/broken /x\n', fails: true },
  {
    name: 'COPY of modes',
    dockerfile:
      'FROM B\nCOPY exec suid sgid ro /m/\nCOPY sgdir /m/sgdir\nCOPY sticky /m/sticky\nCOPY priv /m/priv\nCOPY suid /m2\n',
  },
  { name: 'COPY of foreign owners', dockerfile: 'FROM B\nCOPY owned /o\nCOPY odir /odir\n' },
  { name: 'COPY of hardlinks', dockerfile: 'FROM B\nCOPY hard /h\nCOPY hard/1 hard/2 /h2/\n' },
  { name: 'COPY of capabilities', dockerfile: 'FROM B\nCOPY cap /cap\nCOPY cap /d/\n' },
  { name: 'COPY of fifos', dockerfile: 'FROM B\nCOPY fifodir /fd\n' },
  {
    name: 'COPY of odd names',
    dockerfile: 'FROM B\nCOPY ünï /u\nCOPY ["[[]x]", "/b/"]\nCOPY [[]x] /c/\n',
  },
  {
    name: 'COPY by wildcards',
    dockerfile:
      'FROM B\nCOPY fo* /1/\nCOPY *o? /2/\nCOPY dir/s* /3/\nCOPY tree/*/*.txt /4/\nCOPY [a-e]* /5/\nCOPY nothing* foo /6/\nCOPY di? /7\nCOPY dir/s*b /8\nCOPY lnk* /9/\n',
  },
  { name: 'COPY of a wildcard without a match', dockerfile: 'FROM B\nCOPY nothing* /x/\n' },
  {
    name: 'COPY to the root and over directories',
    dockerfile:
      'FROM B\nRUN mkdir -p /t/a && chmod 700 /t /t/a && chown 5:6 /t && echo old >/t/a/one.txt && touch -d "2004-04-04 04:04:04" /t /t/a\nCOPY tree /t\nCOPY tree/three.md /t/\nCOPY foo /\n',
  },
  {
    name: 'COPY over links',
    dockerfile:
      'FROM B\nRUN mkdir /real && ln -s /real /ld && echo r >/rf && ln -s /rf /lf && ln -s nowhere /dangling && mkdir /x && ln -s ../real /x/rel && ln -s ../../../../real /x/esc\nCOPY foo /ld/viadir\nCOPY bar /lf\nCOPY foo /x/rel/\nCOPY foo /x/esc/e\nCOPY dir /ld\nCOPY hard /x/rel\n',
  },
  { name: 'COPY over a dangling link', dockerfile: 'FROM B\nRUN ln -s nowhere /dangling\nCOPY foo /dangling\n' },
  { name: 'COPY of a directory onto a file', dockerfile: 'FROM B\nRUN echo f >/f\nCOPY dir /f\n', fails: true },
  {
    name: 'COPY of a file onto a directory below',
    dockerfile: 'FROM B\nRUN mkdir -p /dd/a\nCOPY dir /dd\n',
    fails: true,
  },
  { name: 'COPY of a file onto a file as directory', dockerfile: 'FROM B\nCOPY foo /f\nCOPY bar /f/\n', fails: true },
  { name: 'COPY below a file', dockerfile: 'FROM B\nCOPY foo /f\nCOPY bar /f/g\n', fails: true },
  {
    name: 'COPY replaces files of other kinds',
    dockerfile: 'FROM B\nRUN mkdir /k && ln -s /etc/passwd /k/a && mkfifo /k/l && echo s >/k/up\nCOPY dir /k\n',
  },
  // COPY: flags
  {
    name: 'COPY --chown',
    dockerfile: `FROM B\n${OWNERS}COPY --chown=app foo /1\nCOPY --chown=app:grp dir /2\nCOPY --chown=9 foo /3/np/\nCOPY --chown=9:0 tree /4/np/x\nCOPY --chown=:8 foo /5\nCOPY --chown=daemon:nobody foo /etc/6\nARG W=www-data\nCOPY --chown=$W foo /7\n`,
  },
  {
    name: 'COPY --chown of existing directories',
    dockerfile: 'FROM B\nRUN mkdir -p /e/a && chown 3:4 /e /e/a\nCOPY --chown=1:2 tree /e\n',
  },
  {
    name: 'COPY --chmod',
    dockerfile:
      'FROM B\nCOPY --chmod=0640 foo /1\nCOPY --chmod=4711 exec /2\nCOPY --chmod=700 tree /3\nCOPY --chmod=0 foo /4\n',
  },
  {
    name: 'COPY --from keeps owners, links and times',
    dockerfile:
      'FROM B AS s\nRUN mkdir /s && cd /s && echo a >a && ln a b && chown 7:8 a && mkdir -m 2770 d && chown 9:10 d && echo c >d/c && ln -s a l && touch -h -d "2002-02-02 02:02:02" a d/c l d . && mkfifo p && mknod c c 1 3\nFROM B\nCOPY --from=s /s /one\nCOPY --from=s /s/ /two/\nCOPY --from=s --chown=1:1 /s/d /three\nCOPY --from=s /s/l /four\n',
  },
  { name: 'COPY --from a missing stage', dockerfile: 'FROM B\nCOPY --from=3 /x /\n', fails: true },
  {
    name: 'COPY --from is relative to the root',
    dockerfile: 'FROM B AS s\nWORKDIR /w\nRUN echo 1 >/w/f && echo 2 >/f\nFROM B\nWORKDIR /w\nCOPY --from=s f .\n',
  },
  { name: 'an unknown flag', dockerfile: 'FROM B\nCOPY --form=x foo /\n', fails: true },
  { name: 'COPY of a URL', dockerfile: 'FROM B\nCOPY http://127.0.0.1:1/x /\n', fails: true },
  // ADD
  {
    name: 'ADD of archives',
    dockerfile:
      'FROM B\nADD a.tar /1/\nADD a.tgz /2\nADD a.tbz /3\nADD a.txz /4\nADD plain.bin /5\nADD top.tar /\nADD noparents.tar /6\n',
  },
  {
    name: 'ADD of what is no archive',
    dockerfile: 'FROM B\nADD liar.tar.gz /1/\nADD foo /2/\nADD dir /3\nADD *.tar.gz /4/\n',
  },
  { name: 'ADD of an empty file', dockerfile: 'FROM B\nADD empty /1\nADD empty.tar /2/\n' },
  { name: 'ADD of archives by wildcard', dockerfile: 'FROM B\nADD *.t?z foo /w/\n' },
  {
    name: 'ADD --chown of archives',
    dockerfile: 'FROM B\nADD --chown=100:200 a.tar /new/out/\nADD --chown=100:200 foo /f\n',
  },
  {
    name: 'ADD over what is there',
    dockerfile:
      'FROM B\nRUN mkdir -p /x/d /real && echo old >/x/in && ln -s /real /x/ln && chmod 711 /x/d && mkdir /lnk && ln -s /real /lnk/d\nADD a.tar /x\nADD a.tar /lnk\n',
  },
  { name: 'COPY of archives unpacks nothing', dockerfile: 'FROM B\nCOPY a.tar a.tgz /\n' },
  // Other instructions
  {
    name: 'WORKDIR',
    dockerfile: `FROM B\n${OWNERS}WORKDIR /a\nWORKDIR b/c\nWORKDIR ../d\nENV E=env\nWORKDIR /$E/x\nUSER app\nWORKDIR /home/app/w\nRUN pwd >/tmp/o\nWORKDIR /tmp\nWORKDIR /\n`,
  },
  {
    name: 'WORKDIR through a link',
    dockerfile: 'FROM B\nRUN mkdir /real && ln -s real /l\nWORKDIR /l/new\nRUN pwd >/o\n',
  },
  { name: 'WORKDIR at a file', dockerfile: 'FROM B\nWORKDIR /etc/passwd/x\nRUN pwd\n', fails: true },
  {
    name: 'config instructions',
    dockerfile:
      'FROM B\nMAINTAINER me <m@x>\nLABEL a=1 "b c"="d e" f=\'$x\'\nLABEL old style label\nEXPOSE 80 443/tcp 53/UDP 8000-8002\nARG P=9\nEXPOSE $P\nVOLUME /v1 /v2\nVOLUME ["/v 3"]\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s --timeout=1m --retries=3 --start-period=2s CMD echo hi\nUSER 1:2\nENTRYPOINT ["/e", "x"]\nCMD run it\n',
    flags: ['--label', 'cli=1', '--label', 'a=over'],
  },
  { name: 'ENTRYPOINT clears an inherited CMD', dockerfile: 'FROM B AS one\nCMD ["c"]\nFROM one\nENTRYPOINT e\n' },
  {
    name: 'ENTRYPOINT after a CMD of its own',
    dockerfile:
      'FROM B\nCMD ["c"]\nENTRYPOINT e\nHEALTHCHECK NONE\nSTOPSIGNAL 9\nSHELL ["/bin/ash", "-c"]\nCMD shell\n',
  },
  { name: 'CMD with broken JSON is shell text', dockerfile: 'FROM B\nCMD [ "a", ]\nENTRYPOINT [\'x\']\n' },
  {
    name: 'ONBUILD fires in the child',
    dockerfile:
      'FROM B AS p\nONBUILD ENV X=1\nONBUILD COPY foo /onb\nONBUILD RUN echo $X >/x\nFROM p\nRUN cat /onb >/y\nFROM 1\n',
    fails: true,
  },
  {
    name: 'ONBUILD is stored and fires',
    dockerfile:
      'FROM B AS p\nONBUILD ENV X=1\nONBUILD COPY foo /onb\nONBUILD RUN echo $X >/x\nFROM p\nONBUILD RUN echo  two\nRUN cat /onb >/y\n',
  },
  { name: 'ONBUILD of ONBUILD', dockerfile: 'FROM B\nONBUILD ONBUILD RUN x\n', fails: true },
  {
    name: 'data written to a VOLUME stays',
    dockerfile: 'FROM B\nVOLUME /v\nRUN mkdir -p /v && echo d >/v/d\nCOPY foo /v/\n',
  },
  { name: 'a wrong port', dockerfile: 'FROM B\nEXPOSE 80/foo\n', fails: true },
  { name: 'a wrong signal', dockerfile: 'FROM B\nSTOPSIGNAL foo\n', fails: true },
  { name: 'a wrong interval', dockerfile: 'FROM B\nHEALTHCHECK --interval=1us CMD x\n', fails: true },
  { name: 'an unknown instruction', dockerfile: 'FROM B\nRNU x\n', fails: true },
  { name: 'an unknown stage', dockerfile: 'FROM B AS base\n', flags: ['--target', 'bse'], fails: true },
  { name: 'no instruction', dockerfile: '# nothing\n', fails: true },
  { name: 'ENV without a value', dockerfile: 'FROM B\nENV A\n', fails: true },
  // The file
  {
    name: 'CRLF, blanks and directives',
    dockerfile:
      '# escape=`\r\nFROM B\r\n\r\n  run echo `\r\n   # no\r\n   two >/x\r\nCoPy foo `\r\n /y\r\nENV A=b`\r\n',
  },
  {
    name: 'JSON and flags over several lines',
    dockerfile: 'FROM B\nCOPY --chown=1:2 \\\n  ["foo", \\\n  "/j/"]\nRUN \\\n\n  echo late >/l\n',
  },
  // .dockerignore
  {
    name: '.dockerignore',
    dockerfile: 'FROM B\nCOPY . /c\n',
    ignore: '# c\n*\n!dir\n!tree/**/*.txt\ndir/sub\n!dir/sub/deep/d\n**/.hid\n',
  },
  {
    name: '.dockerignore with odd patterns',
    dockerfile: 'FROM B\nCOPY . /c\n',
    ignore: '/foo\n./bar\ndir/../exec\n  suid  \n**/l*\nfifo*\n[a-e]*.t*\nsp ace\n!lnk\n',
  },
  { name: '.dockerignore excludes what is copied', dockerfile: 'FROM B\nCOPY foo /\n', ignore: 'foo\n', fails: true },
  {
    name: '.dockerignore excludes the Dockerfile',
    dockerfile: 'FROM B\nCOPY foo Dockerfil* /x/\n',
    ignore: 'Dockerfile\n.dockerignore\n',
  },
];
