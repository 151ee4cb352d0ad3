declare module 'unbzip2-stream' {
  import type { Transform } from 'node:stream';

  const unbzip2: () => Transform;
  // biome-ignore lint/style/noDefaultExport: the package's only export.
  export default unbzip2;
}
