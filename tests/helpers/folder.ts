/**
 * Folders for a test's databases.
 *
 * @module
 */
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { install } from "../../mod.ts";
import { remove } from "./remove.ts";

/** A file system in memory, if there is one: for tests in which no sync need be slow. */
export const MEMORY: string | undefined = existsSync("/dev/shm") ? "/dev/shm" : undefined;

/** A new folder, removed at the end of the scope that uses it. */
export class Folder implements Disposable, AsyncDisposable {
  readonly path: string;

  /** @param parent Where to make it; else among the system's temporary files. */
  constructor(parent: string = tmpdir()) {
    this.path = mkdtempSync(join(parent, "sqlite3async-test-"));
  }

  /** The path of a file in it. */
  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    remove(this.path);
  }

  /** For a folder with databases: what is queued for them must not find it gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    const vfs = await install();
    await vfs.flush().catch(() => {});
    this[Symbol.dispose]();
  }
}
