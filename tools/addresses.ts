/** Where the project is found, as package.json says it. @module */

/** What npm shows of a package, and where in package.json each address stands. */
const ADDRESSES: Record<string, (manifest: Manifest) => unknown> = {
  homepage: ({ homepage }) => homepage,
  "bugs.url": ({ bugs }) => bugs?.url,
  "repository.url": ({ repository }) => repository?.url?.replace(/^git\+/, ""),
};

/** The part of package.json that is looked at. */
export interface Manifest {
  homepage?: string;
  bugs?: { url?: string };
  repository?: { type?: string; url?: string };
}

/** A line for each address that is not there, or is none. */
export function addressFaults(manifest: Manifest): string[] {
  return Object.entries(ADDRESSES).flatMap(([name, read]) => {
    const address = read(manifest);
    if (address === undefined) return [`package.json has no ${name}: give the project's address`];
    return /^https:\/\/[^/]+\/./.test(String(address))
      ? []
      : [`package.json: ${name} is "${address}", which is no https address`];
  });
}
