// Where dockerd 20.10 and we differ, and why that is right: BuildKit has changed since.

interface KnownDifference {
  readonly reason: string;
  /** Theirs, then ours. */
  readonly lines: readonly string[];
}

/** By the name of the case. */
export const DIFFERENCES: Readonly<Record<string, KnownDifference>> = {
  'RUN --mount=bind': {
    reason: '20.10 leaves mount points behind',
    lines: ['/c: "dir 0755 0:0" <> undefined', '/q: "dir 0755 0:0" <> undefined'],
  },
  'RUN --mount=cache': {
    reason: '20.10 leaves mount points behind',
    lines: ['/k: "dir 0755 0:0" <> undefined', '/k/c: "dir 0755 0:0" <> undefined', '/u: "dir 0755 0:0" <> undefined'],
  },
  'RUN --mount=tmpfs and secret': {
    reason: '20.10 leaves mount points behind',
    lines: ['/t: "dir 0755 0:0" <> undefined'],
  },
  'COPY of the whole context': {
    reason: '20.10 sends a build context without capabilities',
    lines: [
      '/all/cap: "file 0644 0:0 4 ab185873c38b37f4 at 1000000000" <> "file 0644 0:0 4 ab185873c38b37f4 security.capability=0100000200200000000000000000000000000000 at 1000000000"',
    ],
  },
  'COPY of capabilities': {
    reason: '20.10 sends a build context without capabilities',
    lines: [
      '/cap: "file 0644 0:0 4 ab185873c38b37f4 at 1000000000" <> "file 0644 0:0 4 ab185873c38b37f4 security.capability=0100000200200000000000000000000000000000 at 1000000000"',
      '/d/cap: "file 0644 0:0 4 ab185873c38b37f4 at 1000000000" <> "file 0644 0:0 4 ab185873c38b37f4 security.capability=0100000200200000000000000000000000000000 at 1000000000"',
    ],
  },
  'COPY of fifos': { reason: '20.10 leaves out pipes', lines: ['/fd/p: undefined <> "fifo 0644 0:0 at 1000000000"'] },
  'COPY by wildcards': {
    reason: '20.10 sends a build context without capabilities',
    lines: [
      '/5/cap: "file 0644 0:0 4 ab185873c38b37f4 at 1000000000" <> "file 0644 0:0 4 ab185873c38b37f4 security.capability=0100000200200000000000000000000000000000 at 1000000000"',
    ],
  },
  'COPY --chmod': {
    reason: '20.10 loses setuid, and gives a destination it makes no mode',
    lines: [
      '/2: "file 0711 0:0 2 73cb3858a687a849 at 1000000000" <> "file 4711 0:0 2 73cb3858a687a849 at 1000000000"',
      '/3: "dir 0755 0:0" <> "dir 0700 0:0"',
    ],
  },
  'COPY --from keeps owners, links and times': {
    reason: '20.10 leaves out pipes and makes files of devices',
    lines: [
      '/one/c: "file 0644 0:0 0 e3b0c44298fc1c14 new" <> "char 0644 0:0 1,3 new"',
      '/two/c: "file 0644 0:0 0 e3b0c44298fc1c14 new" <> "char 0644 0:0 1,3 new"',
      '/one/p: undefined <> "fifo 0644 0:0 new"',
      '/two/p: undefined <> "fifo 0644 0:0 new"',
    ],
  },
  'ADD --chown of archives': {
    reason: '20.10 keeps the owners of archives',
    lines: [
      '/new/out/d: "dir 0750 11:12" <> "dir 0750 100:200"',
      '/new/out/d/deep: "file 0644 11:12 5 64896f89fd111900 at 1046660583" <> "file 0644 100:200 5 64896f89fd111900 at 1046660583"',
      '/new/out/hl: "file 0644 0:0 3 ab5080369a968a36 also /new/out/hl /new/out/in at 1046660583" <> "file 0644 100:200 3 ab5080369a968a36 also /new/out/hl /new/out/in at 1046660583"',
      '/new/out/in: "file 0644 0:0 3 ab5080369a968a36 also /new/out/hl /new/out/in at 1046660583" <> "file 0644 100:200 3 ab5080369a968a36 also /new/out/hl /new/out/in at 1046660583"',
      '/new/out/ln: "symlink 0777 0:0 -> in at 1046660583" <> "symlink 0777 100:200 -> in at 1046660583"',
    ],
  },
  '.dockerignore': {
    reason: '20.10 does not look for re-included files below `**`',
    lines: [
      '/c/tree/a: undefined <> "dir 0755 0:0"',
      '/c/tree/a/one.txt: undefined <> "file 0644 0:0 4 2c8b08da5ce60398 at 1000000000"',
      '/c/tree/b: undefined <> "dir 0755 0:0"',
      '/c/tree/b/two.txt: undefined <> "file 0644 0:0 4 27dd8ed44a83ff94 at 1000000000"',
    ],
  },
  '.dockerignore with odd patterns': {
    reason: '20.10 sends a build context without capabilities',
    lines: [
      '/c/cap: "file 0644 0:0 4 ab185873c38b37f4 at 1000000000" <> "file 0644 0:0 4 ab185873c38b37f4 security.capability=0100000200200000000000000000000000000000 at 1000000000"',
    ],
  },
};
