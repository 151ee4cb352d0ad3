// How the identifier of a source op begins.

/** An image of a registry. */
export const IMAGE_SCHEME = 'docker-image://';

/** An image of an OCI layout on disk. */
export const LAYOUT_SCHEME = 'oci-layout://';

/** A directory of the user's. */
export const LOCAL_SCHEME = 'local://';
