/**
 * The program that opened.ts starts to tell what an open database takes:
 *
 *     bun bench/opened_program.ts ours|plain DATABASES FOLDER
 *
 * It opens so many, commits a row to each, waits until that is on disk, and prints by how
 * many bytes its resident memory has grown for each. Some were open and closed before:
 * what a process needs once is no database's.
 *
 * @module
 */
import process from "node:process";
import { install } from "../mod.ts";
import { settle } from "./contender.ts";
import { oursWal, PLAIN_NORMAL } from "./contenders/builtin.ts";
import { create, type Database, removeDatabase } from "./databases.ts";

const WARM_UP = 10;

const [name, databases, folder] = process.argv.slice(2) as [string, string, string];
await using vfs = name === "ours" ? await install() : undefined;
const contender = vfs === undefined ? PLAIN_NORMAL : oursWal(vfs);

await closeAll(await openAll(WARM_UP));
const beforeBytes = process.memoryUsage().rss;
const opened = await openAll(Number(databases));
const grownBytes = process.memoryUsage().rss - beforeBytes;
await closeAll(opened);
console.log(grownBytes / Number(databases));

async function openAll(count: number): Promise<Database[]> {
  const opened: Database[] = [];
  for (let i = 0; i < count; i++) {
    opened.push(await create(folder, { ...contender, name: `memory ${i}` }));
    await opened[i]!.insert.run("a row to commit");
  }
  await settle(contender);
  return opened;
}

async function closeAll(opened: Database[]): Promise<void> {
  for (const { store } of opened) await store.close();
  await settle(contender);
  for (const { path } of opened) removeDatabase(path);
}
