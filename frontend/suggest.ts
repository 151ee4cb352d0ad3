// "did you mean": the nearest of the words that would have been right.

interface SuggestOptions {
  /** Compare without case and answer in the case of the word: `RNU` gives `RUN`, `rnu` gives `run`. */
  readonly ignoreCase?: boolean;
}

/** Two edits are still a typing error, three are another word. */
const MAX_DISTANCE = 2;

/**
 * The nearest candidate within two edits; of equally near ones the first that begins as the word does, else the first.
 * Undefined when none is near, or when the word is itself a candidate.
 */
export function suggest(word: string, candidates: Iterable<string>, options: SuggestOptions = {}): string | undefined {
  const fold = (text: string) => (options.ignoreCase === true ? text.toLowerCase() : text);
  let nearest: string | undefined;
  let best = MAX_DISTANCE + 1;
  for (const candidate of candidates) {
    const distance = editDistance(fold(word), fold(candidate), MAX_DISTANCE + 1);
    if (distance === 0) return undefined;
    // People seldom miss the first letter: half an edit decides between equals.
    const score = distance + (fold(word).charAt(0) === fold(candidate).charAt(0) ? 0 : 0.5);
    if (distance > MAX_DISTANCE || score >= best) continue;
    best = score;
    nearest = candidate;
  }
  if (nearest === undefined || options.ignoreCase !== true) return nearest;
  return inCaseOf(word, nearest);
}

/** The message with ` (did you mean …?)` behind it when there is a near candidate. */
export function didYouMean(
  message: string,
  word: string,
  candidates: Iterable<string>,
  options: SuggestOptions = {},
): string {
  const nearest = suggest(word, candidates, options);
  return nearest === undefined ? message : `${message} (did you mean ${nearest}?)`;
}

/** Levenshtein distance (insert, delete, substitute cost 1), or `limit` as soon as it cannot be below it. */
function editDistance(a: string, b: string, limit: number): number {
  const from = [...a];
  const to = [...b];
  if (Math.abs(from.length - to.length) >= limit) return limit;
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [i, char] of from.entries()) {
    const next = [i + 1];
    for (const [j, other] of to.entries()) {
      const substituted = (row[j] ?? 0) + (char === other ? 0 : 1);
      next.push(Math.min(substituted, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return Math.min(row[to.length] ?? 0, limit);
}

function inCaseOf(word: string, text: string): string {
  if (word === word.toLowerCase()) return text.toLowerCase();
  if (word === word.toUpperCase()) return text.toUpperCase();
  return text.toLowerCase();
}
