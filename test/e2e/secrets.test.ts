// Builds that use a secret without showing it: its value, raw, in base64 or in a URL, stays out of all that is kept or said.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { describeCallers, installCommand, makeBase, outputOf, writeContext } from './harness.ts';

const SECRET = 'pa55/w+rd? of=the & test%zebra';
const LENGTH = Buffer.byteLength(SECRET);
const NEEDLES = needlesOf(SECRET);
const FAILING = 'exit 7';

/** Shell text that is true when the file holds the secret. The base has a shell and nothing else. */
const reads = (path: string): string => `{ read -r P <${path} || test \${#P} = ${LENGTH}; }`;

/** RUN instructions that prove they have the secret: END is what they end with. */
const STEPS: Readonly<Record<string, string>> = {
  'a file': `RUN --mount=type=secret,id=s ${reads('/run/secrets/s')} && END`,
  'a file elsewhere': `RUN --mount=type=secret,id=s,target=/etc/pw,mode=0440,uid=3,gid=4 ${reads('/etc/pw')} && END`,
  'a required file': `RUN --mount=type=secret,source=s,target=/q/pw,required ${reads('/q/pw')} && END`,
  'a variable': `RUN --mount=type=secret,id=s,env=PW test \${#PW} = ${LENGTH} && END`,
  'a variable and a file': `RUN --mount=type=secret,id=s,env=PW,target=/pw test \${#PW} = ${LENGTH} && ${reads('/pw')} && END`,
  'exec form': `RUN --mount=type=secret,id=s ["/bin/sh", "-c", "${reads('/run/secrets/s')} && END"]`,
  'a heredoc': `RUN --mount=type=secret,id=s,env=PW <<EOF\nset -e\ntest \${#PW} = ${LENGTH}\nEND\nEOF`,
  'a heredoc file': `RUN --mount=type=secret,id=s <<"EOF" sh\n${reads('/run/secrets/s')} && END\nEOF`,
  'another user': `USER 1234\nRUN --mount=type=secret,id=s,uid=1234 ${reads('/run/secrets/s')} && END`,
  'two steps': `RUN --mount=type=secret,id=s,env=A test \${#A} = ${LENGTH}\nRUN --mount=type=secret,id=s,env=B --network=none test \${#B} = ${LENGTH} && END`,
  'an argument beside it': `ARG PW=other\nRUN --mount=type=secret,id=s,env=PW test \${#PW} = ${LENGTH} && END`,
  'a trigger': `FROM base AS parent\nONBUILD RUN --mount=type=secret,id=s,env=PW test \${#PW} = ${LENGTH} && END\nFROM parent`,
  'another descriptor': `RUN --mount=type=secret,id=s (exec 3</run/secrets/s; read -r P <&3 || test \${#P} = ${LENGTH}) && END`,
};

const OUTPUTS = ['type=oci', 'type=docker', 'type=tar', 'type=local', undefined] as const;
const EXTRAS = [[], ['--no-cache'], ['--label', 'l=1'], ['--progress=quiet'], ['-t', 'kept:1']] as const;

const base = makeBase();

describeCallers('secrets', { needs: ['root'] }, (caller) => {
  it('are nowhere after many varied builds, right and failing', { timeout: 300_000 }, () => {
    // Outside of the home, which is searched.
    const secret = join(installCommand(), `secret-${caller.name}`);
    writeFileSync(secret, SECRET, { mode: 0o644 });
    const said: string[] = [];
    let builds = 0;
    let asked = 0;
    for (const [name, step] of Object.entries(STEPS)) {
      for (const fails of [false, true]) {
        for (const source of [`src=${secret}`, 'env=PASSWORD']) {
          // Root does all 52, the other a quarter of them: the difference between the two is small.
          const isChosen = caller.prefix.length === 0 || (asked + (asked >> 2)) % 4 === 0;
          asked += 1;
          if (!isChosen) continue;
          const text = buildOnce({ name, step, fails, source, number: builds });
          said.push(text);
          builds += 1;
          if (fails) said.push(outputOf(caller.tsbuild(['debug', '-c', 'true'])));
        }
      }
    }
    expect(builds).toBeGreaterThanOrEqual(caller.prefix.length === 0 ? 50 : 10);
    expect(found(said.join('\n'))).toEqual([]);
    unpackArchives(join(caller.home, 'out'));
    expect(filesWithSecret(caller.home)).toEqual([]);
  });

  interface Build {
    readonly name: string;
    readonly step: string;
    readonly fails: boolean;
    readonly source: string;
    readonly number: number;
  }

  function buildOnce({ name, step, fails, source, number }: Build): string {
    const first = step.startsWith('FROM') ? '' : 'FROM base\n';
    const ending = fails ? FAILING : `: ${number}`;
    const dockerfile = `${first}${step.replaceAll('END', ending)}\n`;
    const context = writeContext(caller, { Dockerfile: dockerfile });
    const out = join(caller.home, 'out', `${number}`);
    caller.run('mkdir', ['-p', out]);
    const output = OUTPUTS[number % OUTPUTS.length];
    const flags = [
      ...(output === undefined ? [] : ['-o', `${output},dest=${out}/result`]),
      ...(EXTRAS[(number >> 1) % EXTRAS.length] ?? []),
      ...['--metadata-file', join(out, 'metadata.json'), '--iidfile', join(out, 'id')],
      ...['--secret', `id=s,${source}`, '--build-context', `base=oci-layout://${base}`],
    ];
    const result = caller.tsbuild(['build', '--progress=plain', ...flags, context], { env: { PASSWORD: SECRET } });
    const text = outputOf(result);
    expect(result.status, `${name}: ${text}`).toBe(fails ? 1 : 0);
    if (fails) expect(text, name).toContain('exit code: 7');
    return text;
  }
});

/** As it is, in a URL, with JSON's and shell's escapes, and in base64 whatever bytes are before it. */
function needlesOf(secret: string): readonly string[] {
  const encoded = [0, 1, 2].map((before) => {
    const text = Buffer.from('x'.repeat(before) + secret).toString('base64');
    return text.slice(before === 0 ? 0 : 4, text.length - 4);
  });
  const urls = [encodeURIComponent(secret), encodeURI(secret), new URLSearchParams({ s: secret }).toString().slice(2)];
  const hex = Buffer.from(secret).toString('hex');
  return [secret, ...encoded, ...encoded.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')), ...urls, hex];
}

function found(text: string): readonly string[] {
  return NEEDLES.filter((needle) => text.includes(needle));
}

function unpackArchives(out: string): void {
  for (const number of readdirSync(out)) {
    const archive = join(out, number, 'result');
    const into = join(out, number, 'unpacked');
    mkdirSync(into);
    if (readdirSync(join(out, number)).includes('result') && !isDirectory(archive)) {
      execFileSync('tar', ['-xf', archive, '-C', into]);
    }
  }
}

function isDirectory(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Every file below, compressed ones also uncompressed; names count too. */
function filesWithSecret(directory: string): readonly string[] {
  const guilty: string[] = [];
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (found(path).length > 0) guilty.push(path);
    if (!entry.isFile()) continue;
    const bytes = readFileSync(path);
    const whole = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
    if (NEEDLES.some((needle) => bytes.includes(needle) || whole.includes(needle))) guilty.push(path);
  }
  return guilty;
}
