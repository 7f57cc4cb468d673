import assert from "node:assert/strict";
import { test } from "node:test";
import { numbersIn } from "./helpers/check.ts";
import { Child } from "./helpers/child.ts";
import { Folder } from "./helpers/folder.ts";

/** A program that adds `count` rows, a transaction each, and prints how long the longest took. */
function writer(path: string, count: number, through: boolean): string {
  return `
    const path = ${JSON.stringify(path)};
    const connection = open(${through} ? (await install()).uri(path) : path);
    connection.exec("PRAGMA busy_timeout = 10000");
    connection.exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)");
    console.log("ready");
    const insert = connection.prepare("INSERT INTO t VALUES (NULL)");
    let longestMs = 0;
    for (let n = 0; n < ${count}; n++) {
      const start = performance.now();
      insert.run();
      longestMs = Math.max(longestMs, performance.now() - start);
    }
    console.log("longest", longestMs);
    connection.close();
  `;
}

for (
  const [name, ways] of [["ours and plain", [true, false]], ["both ours", [true, true]]] as const
) {
  test(`two processes that write one database both make progress: ${name}`, async () => {
    await using folder = new Folder();
    const path = folder.file("a.db");
    using first = new Child(writer(path, 400, ways[0]));
    await first.printed("ready");
    using second = new Child(writer(path, 100, ways[1]));
    for (const ended of await Promise.all([first.ended(), second.ended()])) {
      assert.equal(ended.code, 0, ended.stderr);
      assert.equal(ended.stderr, "");
      const longestMs = Number(ended.stdout.match(/longest (.*)/)![1]);
      assert.ok(longestMs < 10_000, `a transaction took ${longestMs} ms`);
    }
    assert.equal(numbersIn(path).length, 500);
  });
}
