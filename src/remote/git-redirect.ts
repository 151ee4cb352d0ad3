// Where a repository is that git would find through redirects. Git itself takes a header along to whatever host a redirect
// names: curl leaves it out of the redirected request, and git's next one, straight to that host, has it again.
import { HttpClient } from '../registry/http.ts';

const ASKED = '/info/refs?service=git-upload-pack';

interface RepositorySearch {
  /** A URL of http or https. */
  readonly remote: string;
  /** Value of the Authorization header. */
  readonly authorization: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** The URL behind the redirects; the given one when there are none, or no answer: git will say why. */
export async function findRepository({ remote, authorization, env, signal }: RepositorySearch): Promise<string> {
  const http = new HttpClient({ environment: env });
  try {
    const url = new URL(`${remote}${ASKED}`);
    const headers = { authorization, 'git-protocol': 'version=2' };
    const response = await http.send({ method: 'GET', url, headers, signal });
    response.body.destroy();
    const { href } = response.url;
    return href !== url.href && href.endsWith(ASKED) ? href.slice(0, -ASKED.length) : remote;
  } catch {
    signal.throwIfAborted();
    return remote;
  } finally {
    http.close();
  }
}

/** Configuration that has git go there, and say who one is to the host of `remote` alone. */
export function authorizedConfig(
  { remote, authorization }: Pick<RepositorySearch, 'remote' | 'authorization'>,
  found: string,
): Readonly<Record<string, string>> {
  const moved = found === remote ? {} : { [`url.${found}.insteadOf`]: remote };
  if (new URL(found).origin !== new URL(remote).origin) return moved;
  const scope = scopeOf(found);
  return {
    ...moved,
    [`http.${scope}.extraheader`]: `Authorization: ${authorization}`,
    [`http.${scope}.followRedirects`]: 'false',
  };
}

/** Where a token may go: to that repository, and to all of GitHub's when it is one of them. */
function scopeOf(remote: string): string {
  return /^https:\/\/(www\.)?github\.com\//.exec(remote)?.[0] ?? remote;
}
