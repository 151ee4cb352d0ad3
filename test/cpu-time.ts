// Bounds on the work that something does, which hold on a busy machine too.

/** The processor time of this process that the call takes, in ms. */
export function cpuTimeMs(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
