declare module 'unbzip2-stream' {
  import type { Transform } from 'node:stream';

  const unbzip2: () => Transform;
  export { unbzip2 as default };
}
