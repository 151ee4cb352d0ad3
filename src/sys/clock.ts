// The time with fractions of a ms, monotonic within the process. Node's `performance` would do, but loading it costs ms.
const startMs = Date.now();
const start = process.hrtime();

/** UTC, ms since the epoch, with fractions; never goes back within a process. */
export function nowMs(): number {
  return startMs + elapsedMs();
}

/** ms since the process began to count. */
export function elapsedMs(): number {
  const [seconds, nanoseconds] = process.hrtime(start);
  return seconds * 1000 + nanoseconds / 1e6;
}
