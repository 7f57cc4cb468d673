/**
 * Programs that do the same in each journal mode, by some door, in a process of their own.
 *
 * @module
 */
import { Child, type Ended } from "./child.ts";
import type { Folder } from "./folder.ts";
import type { Door } from "./stage.ts";

/** How such a program ended. */
export interface EndedAt extends Ended {
  /** Milliseconds from its last line to the end of the process. */
  endMs: number;
  /** The lines it printed, without the last. */
  lines: string[];
}

const urlOf = (name: string) => new URL(name, import.meta.url).href;

/**
 * Run a program in which `stages` has a stage for each mode, in the folder of that name, and `vfs`
 * the VFS, if the door has one.
 *
 * @param folder Where the stages are.
 * @param door How they open databases.
 * @param program JavaScript.
 * @param wrapper A command that runs the one that follows it.
 */
export async function runStages(
  folder: Folder,
  door: Door,
  program: string,
  wrapper: string[] = [],
): Promise<EndedAt> {
  const place = `folder: ${JSON.stringify(`${folder.path}/`)} + mode, door: "${door}", mode`;
  using child = new Child(
    `
    import * as fs from "node:fs";
    const { attempt, insertRows, LOOK, look, MODES, Stage } =
      await import(${JSON.stringify(urlOf("./stage.ts"))});
    const { outside } = await import(${JSON.stringify(urlOf("./outside.ts"))});
    const { deeds } = await import(${JSON.stringify(urlOf("./moved_kinds.ts"))});
    const installed = () => install({ makeDefault: ${door === "default"} });
    let vfs = ${door === "plain" ? "undefined" : "await installed()"};
    const stages = MODES.map((mode) => new Stage({ ${place} }, vfs));
    ${program}
    console.log("ending " + Date.now());
  `,
    {},
    [],
    wrapper,
  );
  const ended = await child.ended(60_000);
  const lines = ended.stdout.split("\n");
  const last = lines.pop()?.match(/^ending (\d+)$/)?.[1];
  return { ...ended, lines, endMs: last === undefined ? Infinity : Date.now() - Number(last) };
}
