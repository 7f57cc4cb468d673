/** What is to be known of an ELF library. @module */

const SHT_DYNAMIC = 6;
const SHT_DYNSYM = 11;
const DT_FLAGS_1 = 0x6ffffffb;
const DF_1_NODELETE = 0x8;

/** An ELF library's dynamic section. */
export interface Elf {
  /** The defined symbols that are not local. */
  exported: Set<string>;
  /** It stays mapped after a dlclose(). */
  noDelete: boolean;
  /** The versions of symbols that it asks of the C library, such as "GLIBC_2.17". */
  versions: string[];
}

/** Read a little-endian 64-bit ELF file; undefined if it is none. */
export function readElf(bytes: Uint8Array<ArrayBuffer>): Elf | undefined {
  const view = new DataView(bytes.buffer);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  if (u32(0) !== 0x464c457f || bytes[4] !== 2 || bytes[5] !== 1) return undefined;
  const sections = Array.from({ length: u16(60) }, (_, index) => {
    const at = u64(40) + index * u16(58);
    return { type: u32(at + 4), offset: u64(at + 24), size: u64(at + 32), link: u32(at + 40) };
  });

  const elf: Elf = { exported: new Set(), noDelete: false, versions: [] };
  for (const { type, offset, size, link } of sections) {
    if (type === SHT_DYNSYM) {
      const { offset: strings, size: length } = sections[link];
      const names = new TextDecoder().decode(bytes.subarray(strings, strings + length));
      elf.versions = names.split("\0").filter((name) => name.startsWith("GLIBC_"));
      for (let at = offset; at < offset + size; at += 24) {
        const isDefined = u16(at + 6) !== 0;
        const isLocal = bytes[at + 4] >> 4 === 0;
        if (!isDefined || isLocal) continue;
        const start = strings + u32(at);
        elf.exported.add(new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start))));
      }
    }
    if (type === SHT_DYNAMIC) {
      for (let at = offset; at < offset + size; at += 16) {
        if (u64(at) === DT_FLAGS_1) elf.noDelete = (u64(at + 8) & DF_1_NODELETE) !== 0;
      }
    }
  }
  return elf;
}
