/**
 * The shared library's symbols against the header: what csrc/sqlite3async.h declares with
 * SQLITE3ASYNC_API, and the entry points, leave the library; nothing else does.
 *
 * @module
 */

import { type Elf, readElf } from "./elf.ts";
import { readMachO } from "./macho.ts";
import { readPe } from "./pe.ts";

const HEADER = "csrc/sqlite3async.h";

/** How SQLite finds an extension: by its file's name, and by the name common to all. */
const ENTRY_POINTS = ["sqlite3_sqlite3async_init", "sqlite3_extension_init"];

/** How a runtime finds a Node-API module; the library may be one. */
const NODE_API = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];

/** What Zig's linker exports of each Mach-O library, as names without the first underscore. */
const LINKER = ["_mh_dylib_header", "__dso_handle"];

/** No newer glibc than this is needed: that of 2012. As in build.zig. */
const GLIBC = [2, 17] as const;

/** A line for each thing that is wrong with what a library shows to the outside. */
export function symbolFaults(path: string): string[] {
  const bytes = Deno.readFileSync(path);
  const elf = readElf(bytes);
  const library = elf ?? readMachO(bytes) ?? readPe(bytes);
  if (library === undefined) return [`${path}: not a 64-bit ELF, Mach-O or PE library`];
  const { exported } = library;
  const wanted = [...declaredFunctions(), ...ENTRY_POINTS];
  const missing = wanted.filter((name) => !exported.has(name));
  const allowed = new Set([...wanted, ...NODE_API, ...(elf === undefined ? LINKER : [])]);
  const foreign = [...exported].filter((name) => !allowed.has(name));
  const faults: string[] = [];
  if (missing.length > 0) faults.push(`not exported: ${missing.join(", ")}`);
  if (foreign.length > 0) {
    faults.push(`exported, but not declared in ${HEADER}: ${foreign.join(", ")}`);
  }
  if (elf !== undefined) faults.push(...elfFaults(path, elf));
  return faults.map((fault) => `${path}: ${fault}`);
}

function elfFaults(path: string, { noDelete, versions }: Elf): string[] {
  const faults: string[] = [];
  if (!noDelete) faults.push("the flag NODELETE is missing: link with -z nodelete");
  const newer = versions.filter((version) => {
    const [major, minor] = version.slice("GLIBC_".length).split(".").map(Number);
    return major !== GLIBC[0] || minor > GLIBC[1];
  });
  // What is built for this machine alone may need its glibc.
  if (newer.length > 0 && path.includes("/prebuilt/")) {
    faults.push(`needs a newer glibc than ${GLIBC.join(".")}: ${newer.join(", ")}`);
  }
  return faults;
}

function declaredFunctions(): string[] {
  const code = Deno.readTextFileSync(HEADER)
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*#.*$/gm, "");
  return [...code.matchAll(/\bSQLITE3ASYNC_API\s[^;(]*?(\w+)\s*\(/g)].map((match) => match[1]);
}
