/** What a Mach-O library exports. @module */

const LC_DYLD_INFO_ONLY = 0x80000022;
const LC_DYLD_EXPORTS_TRIE = 0x80000033;

/**
 * The names that dlsym() finds in a little-endian 64-bit Mach-O file, without the underscore that
 * begins each of C's; undefined if it is no such file.
 */
export function readMachO(bytes: Uint8Array<ArrayBuffer>): { exported: Set<string> } | undefined {
  const view = new DataView(bytes.buffer);
  const u32 = (at: number) => view.getUint32(at, true);
  if (u32(0) !== 0xfeedfacf) return undefined;
  const exported = new Set<string>();
  const commands = u32(16);
  for (let at = 32, index = 0; index < commands; index++, at += u32(at + 4)) {
    // The place of the trie in the file, and its length, are at different places in the two.
    const place = { [LC_DYLD_INFO_ONLY]: at + 40, [LC_DYLD_EXPORTS_TRIE]: at + 8 }[u32(at)];
    if (place === undefined || u32(place + 4) === 0) continue;
    const trie = bytes.subarray(u32(place), u32(place) + u32(place + 4));
    for (const name of namesIn(trie, 0, "")) exported.add(name.replace(/^_/, ""));
  }
  return { exported };
}

/**
 * The names below a node of the trie. A node is the length of what is known of its symbol (0: there
 * is none), that, the number of its edges, and for each edge a text and the next node's offset.
 */
function* namesIn(trie: Uint8Array, node: number, prefix: string): Generator<string> {
  let at = node;
  const uleb128 = () => {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      const byte = trie[at++];
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const length = uleb128();
  if (length > 0) yield prefix;
  at += length;
  for (let edges = trie[at++]; edges > 0; edges--) {
    const end = trie.indexOf(0, at);
    const text = new TextDecoder().decode(trie.subarray(at, end));
    at = end + 1;
    yield* namesIn(trie, uleb128(), prefix + text);
  }
}
