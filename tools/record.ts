/**
 * The record of a full run: what has passed, so that a run that was cut short goes on where it was.
 * An entry counts as long as the files that its program consists of are the same.
 *
 * @module
 */

const PATH = "zig-out/full-run.json";

/** What is known of a program that has passed. */
export interface Entry {
  /** Of the files that it consists of. */
  hash: string;
  passed: number;
  skipped: number;
  seconds: number;
  /** What it said of itself. */
  notes: string[];
}

/** What has passed in full runs. */
export class RunRecord {
  #entries: Map<string, Entry>;

  /** Read what earlier runs have left, if they left anything. */
  constructor() {
    let text = "{}";
    try {
      text = Deno.readTextFileSync(PATH);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    this.#entries = new Map(Object.entries(JSON.parse(text)));
  }

  /** The entry of a program that consists of what has this hash. */
  find(name: string, hash: string): Entry | undefined {
    const entry = this.#entries.get(name);
    return entry?.hash === hash ? entry : undefined;
  }

  /** It has passed, or, without an entry, it has not. */
  note(name: string, entry?: Entry): void {
    if (entry) this.#entries.set(name, entry);
    else this.#entries.delete(name);
    Deno.writeTextFileSync(PATH, JSON.stringify(Object.fromEntries(this.#entries), null, 2));
  }
}

/** The SHA-256 of files, their order and names included. */
export async function hashOf(files: string[]): Promise<string> {
  const hashes = await Promise.all(files.map(async (file) => {
    const bytes = await Deno.readFile(file);
    return `${file} ${hex(await crypto.subtle.digest("SHA-256", bytes))}`;
  }));
  return hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(hashes.join("\n"))));
}

function hex(bytes: ArrayBuffer): string {
  return new Uint8Array(bytes).toHex();
}
