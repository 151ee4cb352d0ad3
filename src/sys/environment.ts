/** Variables by name; an empty one is set, an undefined one is not. Whoever is given them does not change them. */
export type Environment = Readonly<Record<string, string | undefined>>;
