/**
 * The program that system_calls.ts runs under strace:
 *
 *     bun bench/system_calls_program.ts WAY PACE COMMITS FOLDER
 *
 * It commits as many in a burst, then a quarter of them at the pace, and goes on with
 * all of them between the two marks.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { install } from "../mod.ts";
import { settle } from "./contender.ts";
import { MEMORY, oursAt, oursWal, PLAIN_NORMAL } from "./contenders/builtin.ts";
import { create, finish, rowNames } from "./databases.ts";
import { paced } from "./pace.ts";
import { MARKS } from "./system_calls.ts";

const [name, pace, commits, folder] = process.argv.slice(2) as [string, string, string, string];
const rows = Number(commits);
const perSecond = pace === "paced" ? 10_000 : Infinity;
const vfs = name === "ours" || name === "applied" ? await install() : undefined;
const contender = vfs === undefined
  ? name === "memory" ? MEMORY : PLAIN_NORMAL
  : name === "applied"
  ? oursAt(vfs, "applied")
  : oursWal(vfs);
const database = await create(folder, contender, false);
const names = rowNames(rows);
const commit = (row: number) => database.insert.run(names[row]!);

paced(rows, Infinity, commit);
await settle(contender);
paced(rows / 4, perSecond, commit);
existsSync(join(folder, MARKS.begin));
paced(rows, perSecond, commit);
existsSync(join(folder, MARKS.end));

await finish(database, rows + rows / 4 + rows);
await vfs?.close();
