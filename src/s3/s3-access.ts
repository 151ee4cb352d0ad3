// The buckets of one build: a client for each, with the credentials that the flags or the environment give.
import { TsbuildError } from '../../solver/errors.ts';
import { HttpClient } from '../registry/http.ts';
import type { Environment } from '../sys/environment.ts';
import { type S3Bucket, S3Client } from './s3-client.ts';
import type { S3Credentials } from './sign.ts';

/** One for a build; nothing of it is written down. */
export class S3Access {
  readonly #environment: Environment;
  readonly #http: HttpClient;
  readonly #now: () => number;
  readonly #credentials = new Map<string, S3Credentials>();

  constructor(environment: Environment, now: () => number) {
    this.#environment = environment;
    this.#now = now;
    this.#http = new HttpClient({ environment });
  }

  /** From now on these are used for the bucket. */
  remember(bucket: S3Bucket, credentials: S3Credentials): void {
    this.#credentials.set(nameOf(bucket), credentials);
  }

  /** Throws TSB_S3_NO_CREDENTIALS. */
  client(bucket: S3Bucket): S3Client {
    const credentials = this.#credentials.get(nameOf(bucket)) ?? fromEnvironment(this.#environment);
    if (credentials !== undefined) return new S3Client({ bucket, credentials, http: this.#http, now: this.#now });
    throw new TsbuildError('TSB_S3_NO_CREDENTIALS', `no credentials for the S3 bucket "${bucket.bucket}"`, {
      hint: 'give access_key_id= and secret_access_key=, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    });
  }
}

function fromEnvironment(environment: Environment): S3Credentials | undefined {
  const accessKeyID = environment['AWS_ACCESS_KEY_ID'] ?? '';
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY'] ?? '';
  const sessionToken = environment['AWS_SESSION_TOKEN'] ?? '';
  if (accessKeyID === '' || secretAccessKey === '') return undefined;
  return { accessKeyID, secretAccessKey, ...(sessionToken !== '' && { sessionToken }) };
}

function nameOf({ bucket, endpoint = '' }: S3Bucket): string {
  return `${endpoint} ${bucket}`;
}
