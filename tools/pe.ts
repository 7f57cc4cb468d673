/** What a Windows library exports. @module */

/** The names in the export table of a 64-bit PE file (a DLL); undefined if it is none. */
export function readPe(bytes: Uint8Array<ArrayBuffer>): { exported: Set<string> } | undefined {
  const view = new DataView(bytes.buffer);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  if (u16(0) !== 0x5a4d) return undefined;
  const header = u32(60) + 4; // behind the signature
  const optional = header + 20;
  if (u32(header - 4) !== 0x4550 || u16(optional) !== 0x20b) return undefined;
  const sections = Array.from({ length: u16(header + 2) }, (_, index) => {
    const at = optional + u16(header + 16) + index * 40;
    return { address: u32(at + 12), size: u32(at + 16), offset: u32(at + 20) };
  });
  /** Where in the file lies what has this address in memory. */
  const place = (address: number) => {
    const section = sections.find((one) => {
      return address >= one.address && address < one.address + one.size;
    });
    if (section === undefined) throw new Error(`no section has the address ${address}`);
    return address - section.address + section.offset;
  };

  const exported = new Set<string>();
  const table = u32(optional + 112);
  if (table === 0) return { exported };
  const count = u32(place(table) + 24);
  const names = place(u32(place(table) + 32));
  for (let index = 0; index < count; index++) {
    const start = place(u32(names + 4 * index));
    exported.add(new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start))));
  }
  return { exported };
}
