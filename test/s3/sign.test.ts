// Amazon's own examples: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { encodeKey, signedHeaders } from '../../src/s3/sign.ts';

const credentials = {
  accessKeyID: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const common = { region: 'us-east-1', nowMs: Date.UTC(2013, 4, 24) };
const host = 'https://examplebucket.s3.amazonaws.com';
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('a signature', () => {
  it('is that of the published GET', () => {
    const { authorization } = signedHeaders(credentials, {
      ...common,
      method: 'GET',
      url: new URL(`${host}/test.txt`),
      headers: { range: 'bytes=0-9' },
      payloadHash: sha256(''),
    });
    expect(authorization).toBe(
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ' +
        'SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, ' +
        'Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    );
  });

  it('is that of the published PUT, whose key has to be encoded', () => {
    const { authorization } = signedHeaders(credentials, {
      ...common,
      method: 'PUT',
      url: new URL(`${host}/${encodeKey('test$file.text')}`),
      headers: { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      payloadHash: sha256('Welcome to Amazon S3.'),
    });
    expect(authorization).toContain('Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd');
  });

  it('covers the token of temporary credentials', () => {
    const signed = signedHeaders(
      { ...credentials, sessionToken: 'token' },
      { ...common, method: 'GET', url: new URL(`${host}/x`), headers: {}, payloadHash: sha256('') },
    );
    expect(signed['x-amz-security-token']).toBe('token');
    expect(signed['authorization']).toContain('x-amz-date;x-amz-security-token');
  });
});

it('a key keeps its slashes and nothing else that is reserved', () => {
  expect(encodeKey("p/blobs/sha256:a b'(1)*")).toBe('p/blobs/sha256%3Aa%20b%27%281%29%2A');
});
