// Source policies: what rules allow, deny and convert, as BuildKit's own tests have it.
import { describe, expect, it } from 'vitest';
import { applyPolicies, parseSourcePolicies } from '../../frontend/source-policy.ts';
import { convertText, messageOf } from './convert-dockerfile.ts';
import { FakeImageResolver } from './fake-image-resolver.ts';

interface Rule {
  readonly action?: string | number;
  readonly selector: Readonly<Record<string, unknown>>;
  readonly updates?: Readonly<Record<string, unknown>>;
}

const policy = (...rules: readonly Rule[]) => parseSourcePolicies(JSON.stringify({ version: 1, rules }));
const allow = (identifier: string): Rule => ({ action: 'ALLOW', selector: { identifier } });
const deny = (identifier: string): Rule => ({ action: 'DENY', selector: { identifier } });
const convert = (identifier: string, target: string, type = 'WILDCARD'): Rule => ({
  action: 'CONVERT',
  selector: { identifier, match_type: type },
  updates: { identifier: target },
});

/** What the first `*` has matched. */
const FIRST = ['$', '{1}'].join('');
const ALPINE = 'docker-image://docker.io/library/alpine:latest';
const BUSYBOX = 'docker-image://docker.io/library/busybox:latest';

function applied(rules: readonly Rule[], identifier: string, attrs: Readonly<Record<string, string>> = {}) {
  return applyPolicies(policy(...rules), { kind: 'source', identifier, attrs });
}

describe('a policy', () => {
  it.each([
    ['denies what a wildcard matches', [deny('docker-image://*')], ALPINE],
    ['denies what is on a web server', [deny('https://*')], 'https://example.com/x'],
    ['is decided by the last rule that matches', [allow(ALPINE), deny('docker-image://*')], ALPINE],
    [
      'denies what it has converted to',
      [deny('docker-image://docker.io/library/alpine:*'), convert(BUSYBOX, ALPINE)],
      BUSYBOX,
    ],
  ])('%s', (_, rules, identifier) => {
    expect(() => applied(rules, identifier)).toThrow(/^source "[a-z:/.-]+" denied by policy: source denied by policy$/);
  });

  it('leaves what the last rule allows, and what no rule matches', () => {
    expect(applied([deny('docker-image://*'), allow(ALPINE)], ALPINE).identifier).toBe(ALPINE);
    expect(
      applied([{ action: 'DENY', selector: { identifier: 'docker-image://*', match_type: 'EXACT' } }], ALPINE)
        .identifier,
    ).toBe(ALPINE);
    expect(() => applied([deny('docker-image://*'), allow(ALPINE)], BUSYBOX)).toThrow('denied by policy');
  });

  it.each([
    [
      convert('docker-image://docker.io/library/golang:*', `docker-image://r.io/golang:${FIRST}`),
      'docker-image://r.io/golang:1.19',
    ],
    [
      convert('docker\\-image://docker\\.io/library/golang:(.*)', 'docker-image://r.io/golang:$1', 'REGEX'),
      'docker-image://r.io/golang:1.19',
    ],
    [
      convert('docker-image://docker.io/library/golang:1.19', 'docker-image://r.io/g@sha256:0', 'EXACT'),
      'docker-image://r.io/g@sha256:0',
    ],
  ])('converts identifiers (%#)', (rule, expected) => {
    expect(applied([rule], 'docker-image://docker.io/library/golang:1.19').identifier).toBe(expected);
  });

  it('converts again what it has converted, and not for ever', () => {
    expect(applied([convert(BUSYBOX, ALPINE), convert(ALPINE, 'docker-image://x')], BUSYBOX).identifier).toBe(
      'docker-image://x',
    );
    expect(() => applied([convert(BUSYBOX, ALPINE), convert(ALPINE, BUSYBOX)], BUSYBOX)).toThrow(
      'too many mutations on a single source: too many operations',
    );
  });

  it('looks at attributes, and sets them', () => {
    const constraint = (condition: string, value: string) => ({ key: 'http.filename', value, condition });
    const rule = (condition: string, value: string): Rule => ({
      action: 2,
      selector: { identifier: 'https://*', constraints: [constraint(condition, value)] },
      updates: { attrs: { 'http.checksum': 'sha256:1234' } },
    });
    const checksum = (condition: string, value: string) =>
      applied([rule(condition, value)], 'https://h/x', { 'http.filename': 'x' }).attrs['http.checksum'];
    expect(checksum('EQUAL', 'x')).toBe('sha256:1234');
    expect(checksum('NOTEQUAL', 'x')).toBeUndefined();
    expect(checksum('MATCHES', '^[xy]$')).toBe('sha256:1234');
    expect(checksum('MATCHES', 'z')).toBeUndefined();
  });

  it.each([
    ['{', /^failed to parse source policy: /],
    ['{"rules":[{"action":"BAN","selector":{"identifier":"x"}}]}', 'invalid action value: "BAN"'],
    ['{"rules":[{"action":"CONVERT","selector":{"identifier":"x"}}]}', 'a CONVERT rule has no updates'],
    [
      '{"rules":[{"selector":{"identifier":"a**"}}]}',
      'failed to translate wildcard "a**" to regexp: invalid wildcard: "**"',
    ],
    ['{"rules":[{"selector":{"identifier":"(","match_type":"REGEX"}}]}', 'invalid regex "("'],
    ['{"rules":[{}]}', 'the selector of a rule is no object'],
    ['3', 'a policy is no object'],
  ])('that is wrong is refused: %s', (text, message) => {
    expect(() => parseSourcePolicies(text)).toThrow(message);
  });
});

describe('a build with a policy', () => {
  const resolver = () => new FakeImageResolver({ 'docker.io/library/alpine:latest': {}, 'r.io/alpine:latest': {} });

  it('looks up the image that stands in place of another', async () => {
    const used = resolver();
    const policies = policy(convert('docker-image://docker.io/library/*', `docker-image://r.io/${FIRST}`));
    const { definition } = await convertText('FROM alpine\nRUN x\n', { resolver: used, policies });
    const [image] = definition.vertices;
    expect(image?.op.kind === 'source' && image.op.identifier).toMatch(/^docker-image:\/\/r\.io\/alpine:latest@/);
  });

  it('says where it uses what is denied', async () => {
    const policies = policy(deny(ALPINE), deny('https://*'));
    expect(await messageOf('FROM alpine\n', { resolver: resolver(), policies })).toBe(
      `alpine: failed to resolve source metadata for docker.io/library/alpine:latest: could not resolve image due to policy: source "${ALPINE}" denied by policy: source denied by policy`,
    );
    expect(await messageOf('FROM scratch\nADD https://h/x /\n', { policies })).toBe(
      'error evaluating the source policy: source "https://h/x" denied by policy: source denied by policy',
    );
  });

  it('83 [testSourcePolicyWithNamedContext] takes a directory in place of the image that a context names', async () => {
    const policies = policy(convert(ALPINE, 'local://test'));
    const { definition, contexts } = await convertText(
      'FROM scratch AS replace\nFROM scratch\nCOPY --from=replace /foo /\n',
      {
        policies,
        namedContexts: {
          replace: { kind: 'image', reference: 'docker.io/library/alpine:latest' },
          test: { kind: 'local' },
        },
      },
    );
    expect(definition.vertices.map(({ op }) => (op.kind === 'source' ? op.identifier : op.kind))).toEqual([
      'local://test',
      'file',
    ]);
    expect(contexts).toEqual([{ name: 'test', paths: ['foo'] }]);
  });
});
