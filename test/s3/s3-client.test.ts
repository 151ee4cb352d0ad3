import { expect, it } from 'vitest';
import { objectURL, type S3Bucket } from '../../src/s3/s3-client.ts';

const at = (bucket: Partial<S3Bucket>): string =>
  objectURL({ bucket: 'caches', region: 'eu-north-1', isPathStyle: false, ...bucket }, 'ci/a b+ü').href;

it('a bucket is part of the name of its host, at Amazon and at an endpoint', () => {
  expect(at({})).toBe('https://caches.s3.eu-north-1.amazonaws.com/ci/a%20b%2B%C3%BC');
  expect(at({ endpoint: 'http://s3.test:9000/base/' })).toBe('http://caches.s3.test:9000/base/ci/a%20b%2B%C3%BC');
});

it('a bucket is part of the path where that is asked for, and where a host cannot be called that', () => {
  const endpoint = 'http://s3.test:9000';
  expect(at({ endpoint, isPathStyle: true })).toBe('http://s3.test:9000/caches/ci/a%20b%2B%C3%BC');
  expect(at({ endpoint: 'http://127.0.0.1:9000' })).toBe('http://127.0.0.1:9000/caches/ci/a%20b%2B%C3%BC');
  expect(at({ endpoint: 'http://[::1]:9000' })).toBe('http://[::1]:9000/caches/ci/a%20b%2B%C3%BC');
  expect(at({ bucket: 'my.caches' })).toBe('https://s3.eu-north-1.amazonaws.com/my.caches/ci/a%20b%2B%C3%BC');
  expect(at({ bucket: 'Caches' })).toBe('https://s3.eu-north-1.amazonaws.com/Caches/ci/a%20b%2B%C3%BC');
});
