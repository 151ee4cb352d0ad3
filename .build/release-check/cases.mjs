// What the release check builds. Each case is a context with a Dockerfile, and the flags it is built with.
// `isNew` ones hold for the reference's version and newer ones alone.
// `{ARCHIVE}` in a Dockerfile is the address of a small server that the check runs: see room.mjs.

/** Of a case that names no others. */
export const FILES = {
  'one.txt': 'one\n',
  'two.txt': 'two\n',
  'dir/a': 'a\n',
  'dir/sub/b': 'b\n',
  'dir/sub/c.md': 'c\n',
  'run.sh': '#!/bin/sh\necho ran\n',
};

export const OWN_CASES = [
  {
    name: 'steps',
    dockerfile: `ARG BASE
FROM $BASE
LABEL a=b
COPY one.txt /one
RUN cat /one > /two && echo "<&>" >> /two
ENV GREETING="hello there" EMPTY=
ARG USED=1
ARG UNUSED
RUN echo $GREETING $USED > /three
SHELL ["/bin/sh", "-ec"]
RUN echo four > /four
RUN ["/bin/cp", "/four", "/five"]
WORKDIR /srv/deep
RUN pwd > here
WORKDIR ../beside
RUN pwd > here
USER 1000:1000
WORKDIR /of-user
RUN id > /tmp/id
USER root
RUN --network=none echo none > /none
CMD ["cat", "/one"]
`,
    buildArgs: { USED: 'x y' },
  },
  {
    name: 'stages',
    dockerfile: `ARG BASE
FROM $BASE AS tools
RUN mkdir /tools && echo tool > /tools/tool && ln -s tool /tools/link
FROM tools AS left
RUN cat /tools/tool > /left
FROM $BASE AS right
COPY --from=tools /tools /tools
RUN cat /tools/link > /right
FROM $BASE AS unused
RUN echo unused > /unused
FROM left
COPY --from=right /right /right
COPY --from=1 /left /left-again
COPY --from=$BASE /bin/busybox /box
RUN --mount=from=right,target=/from cat /from/right > /last
`.replace('$BASE /bin', '{BASE} /bin'),
  },
  {
    name: 'copies',
    dockerfile: `ARG BASE
FROM $BASE
RUN echo app:x:1000:1001::/:/bin/sh >> /etc/passwd && echo team:x:1002: >> /etc/group
COPY one.txt two.txt /several/
COPY dir /whole
COPY dir/ /slashed/
COPY . /all
COPY --chmod=0640 one.txt /octal
COPY --chmod=u+x,g-w one.txt /symbolic
COPY --chown=app one.txt /by-name
COPY --chown=app:team dir /by-names
COPY --chown=12:34 one.txt /by-number
COPY --chown=12 --chmod=711 run.sh /both
ADD one.txt dir /added/
RUN ls -lR /all > /listed
`,
  },
  {
    // Since BuildKit hashes whole paths of what a wildcard matches; 0.25 took base names.
    name: 'wildcards',
    isNew: true,
    dockerfile: `ARG BASE
FROM $BASE AS tools
RUN mkdir /tools && echo tool > /tools/tool && ln -s tool /tools/link
FROM $BASE
COPY *.txt /matched/
COPY nothing* one.txt /some/
COPY d?r/s*b /sub/
COPY --from=tools /tools/l* /links/
COPY --exclude=*.md --exclude=a dir /excluded/
COPY --parents dir/sub/*.md one.txt /parents/
COPY --parents dir/./sub/b /pivot/
`,
  },
  {
    name: 'links',
    dockerfile: `ARG BASE
FROM $BASE AS made
RUN echo made > /made
FROM $BASE
COPY --link one.txt /one
COPY --link --chown=1:2 dir /dir/
ADD --link two.txt /deep/down/
COPY --link --from=made /made /made
RUN cat /one > /read
COPY --link run.sh /bin/
`,
  },
  {
    name: 'heredocs',
    dockerfile: `ARG BASE
FROM $BASE
ARG NAME=name
COPY <<FILE /plain
Hello $NAME
FILE
COPY --chmod=755 --chown=3:4 <<'FILE' <<-OTHER /quoted/
Hello $NAME
FILE
	indented
	OTHER
RUN <<END
echo first > /first
echo second > /second
END
RUN <<ONE cat > /script && cat <<TWO > /other
one $NAME
ONE
two
TWO
RUN <<END
#!/bin/sh
echo script > /by-script
END
`,
  },
  {
    name: 'mounts',
    dockerfile: `ARG BASE
FROM $BASE AS seed
RUN mkdir /seed && echo seed > /seed/seed
FROM $BASE
RUN --mount=type=cache,target=/cache echo c > /cache/c; echo 1 > /r1
RUN --mount=type=cache,id=mine,target=/cache,sharing=locked echo c > /cache/c; echo 2 > /r2
RUN --mount=type=cache,target=/owned,mode=0700,uid=5,gid=6 ls -ld /owned > /dev/null; echo 3 > /r3
RUN --mount=type=cache,target=/seeded,from=seed,source=/seed cat /seeded/seed > /r4
RUN --mount=target=/ctx cat /ctx/one.txt > /r5
RUN --mount=type=bind,source=dir,target=/ctx/dir,rw touch /ctx/dir/new && cat /ctx/dir/a > /r6
RUN --mount=from=seed,source=/seed,target=/s --mount=source=one.txt,target=/o cat /s/seed /o > /r7
RUN --mount=type=tmpfs,target=/t,size=1m echo t > /t/t && echo 8 > /r8
RUN --mount=type=secret,id=token cat /run/secrets/token > /dev/null; echo 9 > /r9
RUN --mount=type=secret,id=token,target=/etc/token,mode=0444,uid=7,required test -r /etc/token; echo 10 > /r10
RUN --mount=type=secret,id=token,env=TOKEN test -n "$TOKEN"; echo 11 > /r11
RUN --mount=type=ssh echo 12 > /r12
`,
    secrets: { token: 'secret' },
  },
  {
    name: 'archives',
    dockerfile: `ARG BASE
FROM $BASE
ADD {ARCHIVE}/file.txt /fetched/
ADD --chmod=0600 --chown=1:2 {ARCHIVE}/file.txt /owned
ADD --checksum={CHECKSUM} {ARCHIVE}/file.txt /checked
ADD {ARCHIVE}/tree.tar /packed.tar
ADD --unpack {ARCHIVE}/tree.tar /unpacked/
ADD --link {ARCHIVE}/file.txt /linked/
RUN cat /fetched/file.txt > /read
`,
  },
  {
    name: 'packed',
    dockerfile: `ARG BASE
FROM $BASE
ADD tree.tar /tree/
ADD --chown=3:4 tree.tar /owned/
COPY tree.tar /packed.tar
`,
    archive: 'tree.tar',
  },
  {
    name: 'scratch',
    dockerfile: 'FROM scratch\nCOPY one.txt /\nCOPY dir /dir/\nWORKDIR /work\nADD two.txt .\n',
  },
  {
    name: 'limits',
    dockerfile: `ARG BASE
FROM $BASE
RUN grep build.test /etc/hosts > /hosts; df /dev/shm | tail -1 > /dev/null
RUN ulimit -n > /files
`,
    addHosts: { 'build.test': '192.0.2.1' },
    shmSize: '33554432',
    ulimits: ['nofile=1234:1234'],
  },
  {
    name: 'platforms',
    dockerfile: `FROM --platform=$BUILDPLATFORM {BASE} AS tool
ARG TARGETPLATFORM TARGETARCH BUILDARCH
RUN echo for $TARGETPLATFORM on $BUILDARCH > /told
FROM scratch
ARG TARGETARCH
COPY --from=tool /told /told-\${TARGETARCH}
COPY one.txt /one
`,
    platform: 'linux/amd64,linux/arm64',
    // An image of several platforms has one such cache for each.
    isPlural: true,
  },
  {
    name: 'arguments',
    dockerfile: `FROM {BASE}
ARG SOURCE_DATE_EPOCH
ARG HTTP_PROXY
RUN hostname > /hostname; env | sort > /env
RUN --mount=type=cache,target=/cache touch /cache/x
STOPSIGNAL SIGINT
HEALTHCHECK CMD true
VOLUME /data
EXPOSE 80
ENTRYPOINT ["/bin/sh"]
RUN echo end > /end
`,
    buildArgs: {
      SOURCE_DATE_EPOCH: '1700000000',
      HTTP_PROXY: '',
      NO_PROXY: 'localhost',
      BUILDKIT_SANDBOX_HOSTNAME: 'sandbox',
      BUILDKIT_CACHE_MOUNT_NS: 'namespace',
    },
  },
  {
    name: 'kinds',
    dockerfile: `FROM {BASE} AS made
RUN mkdir -m 1777 /made && cd /made && echo x > file && ln file hard && ln -s file soft && ln -s / root && mkfifo fifo \\
 && chmod 4755 file && chown 5:6 soft && mkdir -m 2750 deep && echo y > 'deep/a b' && echo z > deep/ü
FROM {BASE}
COPY --from=made /made /made
COPY --from=made /made/hard /made/soft /both/
COPY --from=made --chown=7 /made/deep /deep
COPY --from=made /made/root/etc /etc-again
COPY links /links
COPY links/to-dir/ /through
COPY . /context
RUN --mount=from=made,source=/made/deep,target=/mnt cat '/mnt/a b' > /read
`,
    files: { ...FILES, '.dockerignore': 'dir/sub\n!dir/sub/b\n*.sh\n' },
    links: { 'links/to-file': '../one.txt', 'links/to-dir': '../dir', 'links/broken': 'nowhere' },
  },
  {
    name: 'target',
    dockerfile: `FROM {BASE} AS first
RUN echo 1 > /1
FROM first AS second
COPY --from=beside one.txt /beside
COPY --from=box /bin/busybox /box
RUN echo 2 > /2
FROM second
RUN false
`,
    target: 'second',
    contexts: { beside: 'dir:', box: 'docker-image://{BASE}' },
  },
  {
    name: 'triggers',
    dockerfile: `FROM {BASE} AS first
ONBUILD COPY one.txt /triggered
ONBUILD RUN cat /triggered > /ran
FROM first
RUN ls / > /listed
`,
  },
];
