// JSON with long lists, read a piece at a time: whole, its values would take many times the room of its text.

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [...Buffer.from('"\\[]{}')];

interface OutlinedJSON {
  /** The text with the n-th list of that depth replaced by the number n, from 0 on. */
  readonly outline: string;
  /** Where those lists begin and end in the bytes: two numbers for each. */
  readonly bounds: readonly number[];
}

/**
 * Takes the lists out that `depth` brackets and braces are open in, their own among them. Text that is no JSON gives an
 * outline, or lists, that are none either.
 */
export function outlineJSON(bytes: Buffer, depth: number): OutlinedJSON {
  const pieces: string[] = [];
  const bounds: number[] = [];
  let open = 0;
  let [from, start] = [0, -1];
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      open += 1;
      if (open === depth && byte === OPEN_LIST) start = at;
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
      if (open === depth && start >= 0) {
        pieces.push(bytes.toString('utf8', from, start), String(bounds.length / 2));
        bounds.push(start, at + 1);
        [from, start] = [at + 1, -1];
      }
      open -= 1;
    }
  }
  pieces.push(bytes.toString('utf8', from));
  return { outline: pieces.join(''), bounds };
}

/** Where the string ends that begins there. */
function endOfString(bytes: Buffer, start: number): number {
  let at = start + 1;
  for (; at < bytes.length && bytes[at] !== QUOTE; at += 1) if (bytes[at] === BACKSLASH) at += 1;
  return at;
}
