/**
 * The shared library's symbols against the header: what csrc/sqlite3async.h declares with
 * SQLITE3ASYNC_API, and the entry points, leave the library; nothing else does.
 *
 * @module
 */

const HEADER = "csrc/sqlite3async.h";

/** How SQLite finds an extension: by its file's name, and by the name common to all. */
const ENTRY_POINTS = ["sqlite3_sqlite3async_init", "sqlite3_extension_init"];

/** How a runtime finds a Node-API module; the library may be one. */
const NODE_API = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];

const SHT_DYNAMIC = 6;
const SHT_DYNSYM = 11;
const DT_FLAGS_1 = 0x6ffffffb;
const DF_1_NODELETE = 0x8;

/** A line for each thing that is wrong with an ELF library's dynamic section. */
export function symbolFaults(path: string): string[] {
  const { exported, noDelete } = readElf(path);
  const wanted = [...declaredFunctions(), ...ENTRY_POINTS];
  const missing = wanted.filter((name) => !exported.has(name));
  const foreign = [...exported].filter((name) => ![...wanted, ...NODE_API].includes(name));
  const faults: string[] = [];
  if (missing.length > 0) faults.push(`not exported: ${missing.join(", ")}`);
  if (foreign.length > 0) {
    faults.push(`exported, but not declared in ${HEADER}: ${foreign.join(", ")}`);
  }
  if (!noDelete) faults.push("the flag NODELETE is missing: link with -z nodelete");
  return faults.map((fault) => `${path}: ${fault}`);
}

function declaredFunctions(): string[] {
  const code = Deno.readTextFileSync(HEADER)
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*#.*$/gm, "");
  return [...code.matchAll(/\bSQLITE3ASYNC_API\s[^;(]*?(\w+)\s*\(/g)].map((match) => match[1]);
}

/** The defined dynamic symbols of a little-endian 64-bit ELF file, and whether it is NODELETE. */
function readElf(path: string): { exported: Set<string>; noDelete: boolean } {
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  if (u32(0) !== 0x464c457f || bytes[4] !== 2 || bytes[5] !== 1) {
    throw new Error(`${path}: not a little-endian 64-bit ELF file`);
  }
  const sections = Array.from({ length: u16(60) }, (_, index) => {
    const at = u64(40) + index * u16(58);
    return { type: u32(at + 4), offset: u64(at + 24), size: u64(at + 32), link: u32(at + 40) };
  });

  const exported = new Set<string>();
  let noDelete = false;
  for (const { type, offset, size, link } of sections) {
    if (type === SHT_DYNSYM) {
      const strings = sections[link].offset;
      for (let at = offset; at < offset + size; at += 24) {
        const isDefined = u16(at + 6) !== 0;
        const isLocal = bytes[at + 4] >> 4 === 0;
        if (!isDefined || isLocal) continue;
        const start = strings + u32(at);
        exported.add(new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start))));
      }
    }
    if (type === SHT_DYNAMIC) {
      for (let at = offset; at < offset + size; at += 16) {
        if (u64(at) === DT_FLAGS_1) noDelete = (u64(at + 8) & DF_1_NODELETE) !== 0;
      }
    }
  }
  return { exported, noDelete };
}
