// Which words STOPSIGNAL takes: Linux signal names with or without SIG, and numbers.

const NAMES: ReadonlySet<string> = new Set([
  ...'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM'.split(
    ' ',
  ),
  ...'TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'.split(' '),
  ...Array.from({ length: 15 }, (_unused, n) => `RTMIN+${n + 1}`),
  ...Array.from({ length: 14 }, (_unused, n) => `RTMAX-${n + 1}`),
]);

/** True for a signal that exists on Linux, or any number but 0. */
export function isSignal(text: string): boolean {
  if (/^[+-]?[0-9]+$/.test(text)) return Number(text) !== 0;
  return NAMES.has(text.toUpperCase().replace(/^SIG/, ''));
}
