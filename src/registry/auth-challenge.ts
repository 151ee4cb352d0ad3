// WWW-Authenticate: which ways a registry offers to say who one is. https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1

/** One way in, as the registry spells it. */
export interface AuthChallenge {
  /** Lower case: `basic`, `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const SCHEME = /[\s,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?=[\s,]|$)\s*/y;
const PARAMETER = /[\s,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;

/** All challenges of a header, in their order; what cannot be read ends the list. */
export function parseChallenges(header: string): readonly AuthChallenge[] {
  const challenges: AuthChallenge[] = [];
  let at = 0;
  while (at < header.length) {
    const scheme = matchAt(SCHEME, header, at);
    if (scheme === undefined) break;
    at += scheme[0].length;
    const parameters: Record<string, string> = {};
    for (let next = matchAt(PARAMETER, header, at); next !== undefined; next = matchAt(PARAMETER, header, at)) {
      at += next[0].length;
      const [, name = '', quoted, token = ''] = next;
      parameters[name.toLowerCase()] = quoted === undefined ? token : quoted.replace(/\\(.)/g, '$1');
    }
    challenges.push({ scheme: (scheme[1] ?? '').toLowerCase(), parameters });
  }
  return challenges;
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  const sticky = new RegExp(pattern);
  sticky.lastIndex = at;
  return sticky.exec(text) ?? undefined;
}
