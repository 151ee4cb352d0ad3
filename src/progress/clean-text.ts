// What a step writes may hold control sequences; shown among other things they must not move, hide or switch anything.

// CSI, then strings (OSC, DCS, SOS, PM, APC) up to their end, other escapes, and control characters but the tab.
const SEQUENCES =
  /(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;
// Control characters but the tab, and what makes text read in another order than it is written.
const HIDDEN = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
const COLOURS = /^\x1b\[[0-9;:]*m$/;

/** The text of one line without any control sequence. */
export function plainText(line: string): string {
  return line.replace(SEQUENCES, '');
}

/** The text of one line with its colours only, which end where the line ends. */
export function colouredText(line: string): string {
  if (!/[\x00-\x08\x0a-\x1f\x7f-\x9f]/.test(line)) return line;
  let hasColours = false;
  const text = line.replace(SEQUENCES, (sequence) => {
    if (!COLOURS.test(sequence)) return '';
    hasColours = true;
    return sequence;
  });
  return hasColours ? `${text}\x1b[0m` : text;
}

/** Names and messages, which may come from anybody, as one line: what a terminal would not show is written as in C. */
export function visibleText(text: string): string {
  return text.replace(HIDDEN, (character) => {
    const code = character.charCodeAt(0);
    if (character === '\n') return '\\n';
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** The same for a text of several lines. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visibleText).join('\n');
}
