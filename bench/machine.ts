/** What machine this is, for a report. @module */
import { execFileSync } from "node:child_process";
import { cpus, release, totalmem, type as systemType } from "node:os";

/** Facts by name, in the order to show them. */
export function machineFacts(folder: string): Record<string, string> {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    commit: said("git", "describe", "--always", "--dirty"),
    processor: `${cpus().length} x ${cpu?.model ?? "unknown"}`,
    memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    system: `${systemType()} ${release()}`,
    "file system": said("findmnt", "-n", "-o", "FSTYPE", "-T", folder),
    Deno: said("deno", "eval", versions("node:sqlite")),
    Bun: said("bun", "-e", bunVersions),
    Node: said("node", "--input-type=module", "-e", versions("node:sqlite")),
  };
}

function versions(module: string): string {
  return `import { DatabaseSync } from "${module}";
    const name = "Deno" in globalThis ? Deno.version.deno : process.version;
    const { v } = new DatabaseSync(":memory:").prepare("SELECT sqlite_version() AS v").get();
    console.log(name + ", SQLite " + v);`;
}

const bunVersions = `import { Database } from "bun:sqlite";
  const { v } = new Database(":memory:").query("SELECT sqlite_version() AS v").get();
  console.log(Bun.version + ", SQLite " + v);`;

function said(command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
      .trim();
  } catch {
    return "not there";
  }
}
