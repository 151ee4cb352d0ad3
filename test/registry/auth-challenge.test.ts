import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../src/registry/auth-challenge.ts';

describe('parseChallenges', () => {
  it('reads a bearer challenge with commas and escapes in quotes', () => {
    const header = 'Bearer realm="https://a.example/token",service="s \\"x\\"",scope="repository:a/b:pull,push"';
    expect(parseChallenges(header)).toEqual([
      {
        scheme: 'bearer',
        parameters: { realm: 'https://a.example/token', service: 's "x"', scope: 'repository:a/b:pull,push' },
      },
    ]);
  });

  it('reads several challenges of one header', () => {
    expect(parseChallenges('Negotiate, Basic Realm=one , charset="UTF-8", bearer realm = "two"')).toEqual([
      { scheme: 'negotiate', parameters: {} },
      { scheme: 'basic', parameters: { realm: 'one', charset: 'UTF-8' } },
      { scheme: 'bearer', parameters: { realm: 'two' } },
    ]);
  });

  it('stops at what it cannot read', () => {
    expect(parseChallenges('')).toEqual([]);
    expect(parseChallenges('"?"')).toEqual([]);
    expect(parseChallenges('Basic realm="open')).toEqual([{ scheme: 'basic', parameters: {} }]);
  });
});
