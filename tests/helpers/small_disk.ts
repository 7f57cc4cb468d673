/**
 * Small file systems, to be filled up.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Folder } from "./folder.ts";

/** A file system of some megabytes. */
export class SmallDisk implements Disposable {
  readonly path: string;
  readonly #ballast: string;

  /** One that another process has mounted. */
  constructor(path: string) {
    this.path = path;
    this.#ballast = this.file("ballast");
  }

  /** Mount one in a folder, for this process and its children. */
  static mount(folder: Folder, size: string = "1m"): SmallDisk {
    const path = folder.file("disk");
    mkdirSync(path);
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path], { stdio: "pipe" });
    return new SmallDisk(path);
  }

  /** The path of a file on it. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** Take up so much of it, besides what is there. */
  load(bytes: number): void {
    writeFileSync(this.#ballast, new Uint8Array(bytes));
  }

  /** Take up all there is but so much. */
  leave(bytes: number): void {
    const { bsize, bavail } = statfsSync(this.path);
    this.load(Math.max(0, bsize * bavail - bytes));
  }

  /** Let it go again. */
  unload(): void {
    rmSync(this.#ballast, { force: true });
  }

  [Symbol.dispose](): void {
    execFileSync("umount", ["-l", this.path]);
  }
}

/** Why there can be no {@linkcode SmallDisk} in this process, or false. */
export function whyNoSmallDisk(): string | false {
  try {
    using folder = new Folder();
    using _disk = SmallDisk.mount(folder);
    return false;
  } catch {
    return "mounting a small file system takes Linux and root";
  }
}

/**
 * What to put before a command so that it can have a {@linkcode SmallDisk}: nothing, or what
 * gives it a namespace in which it is root; undefined if nothing helps.
 */
export function mountWrapper(): string[] | undefined {
  // First those from which no mount can be left behind.
  return [["unshare", "-rm"], ["unshare", "-m"], []].find(([command, ...args]) => {
    using folder = new Folder();
    const script = `mount -t tmpfs -o size=1m tmpfs '${folder.path}' && umount '${folder.path}'`;
    try {
      execFileSync(command ?? "sh", [...args, ...command ? ["sh"] : [], "-c", script], {
        stdio: "pipe",
      });
      return true;
    } catch {
      return false;
    }
  });
}
