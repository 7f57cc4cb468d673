/**
 * The program of docs/guides/frameworks.md with Hono: a server that is asked, and then ended by
 * SIGTERM; what it has left plain SQLite reads.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { open } from "../examples/sqlite.ts";
import { filesOf } from "./helpers/docs.ts";
import { furnish } from "./helpers/driver_pages.ts";
import { RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";

const PACKAGES = process.env.FRAMEWORKS_DIR;
const START_MS = 20_000;

/** A port of this machine that nobody uses. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** Ask until somebody listens. */
async function started(url: string): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      await (await fetch(url)).text();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

async function post(url: string, text: string): Promise<number> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify({ text }) });
  assert.equal(response.status, 201);
  return (await response.json() as { id: number }).id;
}

test("a server with Hono keeps what it has promised, and ends at SIGTERM", {
  skip: PACKAGES === undefined ? "./run test says where Hono is" : false,
}, async () => {
  using folder = new Folder();
  furnish(folder, PACKAGES);
  for (const [name, text] of filesOf("docs/guides/frameworks.md")) {
    if (!name.includes("/")) writeFileSync(folder.file(name), text);
  }
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/notes`;
  const args = RUNTIME === "deno" ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...args, `${RUNTIME}.ts`], {
    cwd: folder.path,
    env: { ...process.env, PORT: String(port) },
    stdio: ["ignore", "inherit", "inherit"],
  });
  try {
    await started(url);
    const texts = Array.from({ length: 20 }, (_, index) => `note ${index}`);
    const ids = await Promise.all(texts.map((text) => post(url, text)));
    assert.equal(new Set(ids).size, texts.length);
    const listed = await (await fetch(url)).json() as { text: string }[];
    assert.deepEqual(listed.map(({ text }) => text).sort(), texts.toSorted());
    const ended = once(child, "exit");
    process.kill(child.pid!, "SIGTERM"); // by child.kill() Deno takes it for the cause of the end
    assert.deepEqual(await ended, [0, null]);
    using plain = open(folder.file("app.db"));
    assert.equal(plain.all("SELECT count(*) AS n FROM note")[0]?.n, texts.length);
  } finally {
    child.kill("SIGKILL");
  }
});
