/**
 * Removing what a test has made.
 *
 * @module
 */
import { lstatSync, readdirSync, rmdirSync, rmSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** Remove a file, or a folder with all that is in it. */
export function remove(path: string): void {
  if (process.platform === "win32") removePiecemeal(path);
  else rmSync(path, { recursive: true, force: true });
}

/**
 * Windows removes nothing that is open, as databases may still be at the end of a test: that is
 * left to whoever clears the temporary files. And Bun cannot remove whole folders in Wine.
 */
function removePiecemeal(path: string): void {
  try {
    if (!lstatSync(path).isDirectory()) return unlinkSync(path);
    for (const name of readdirSync(path)) removePiecemeal(join(path, name));
    rmdirSync(path);
  } catch (error) {
    const { code } = error as { code?: string };
    if (!/^(EBUSY|EPERM|EACCES|ENOENT|ENOTEMPTY)$/.test(code ?? "")) throw error;
  }
}
