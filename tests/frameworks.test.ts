/**
 * The servers of docs/guides/frameworks.md: each is asked, and then ended by SIGTERM; what it has
 * left plain SQLite reads. Hono's is run in every runtime. A full run also builds those with
 * SvelteKit and Next.js, of the page's files and the package as it is packed, in Node.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { open } from "../examples/sqlite.ts";
import { filesOf } from "./helpers/docs.ts";
import { furnish } from "./helpers/driver_pages.ts";
import { RUNTIME } from "./helpers/execute.ts";
import { Folder } from "./helpers/folder.ts";
import { only, Site } from "./helpers/site.ts";

const { FRAMEWORKS_DIR: PACKAGES, NEXT_DIR, SVELTEKIT_DIR } = process.env;
const PAGE = filesOf("docs/guides/frameworks.md");
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
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ text }) });
  assert.equal(response.status, 201);
  return (await response.json() as { id: number }).id;
}

/** Start a server in a folder, ask its routes and end it. Its database must have each row. */
async function assertKeeps(
  cwd: string,
  command: string[],
  base: NodeJS.ProcessEnv,
  exitCode: number = 0,
): Promise<void> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/notes`;
  const env = { ...base, PORT: String(port) };
  const child = spawn(command[0]!, command.slice(1), { cwd, env, stdio: ["ignore", 2, 2] });
  try {
    await started(url);
    const texts = Array.from({ length: 20 }, (_, index) => `note ${index}`);
    const ids = await Promise.all(texts.map((text) => post(url, text)));
    assert.equal(new Set(ids).size, texts.length);
    const listed = await (await fetch(url)).json() as { text: string }[];
    assert.deepEqual(listed.map(({ text }) => text).sort(), texts.toSorted());
    const ended = once(child, "exit");
    process.kill(child.pid!, "SIGTERM"); // by child.kill() Deno takes it for the cause of the end
    assert.deepEqual(await ended, [exitCode, null]);
    using plain = open(join(cwd, "app.db"));
    const kept = plain.all("SELECT text FROM note").map(({ text }) => text as string);
    assert.deepEqual(kept.sort(), texts.toSorted());
  } finally {
    child.kill("SIGKILL");
  }
}

test("a server with Hono keeps what it has promised, and ends at SIGTERM", {
  skip: PACKAGES === undefined ? "./run test says where Hono is" : false,
}, async () => {
  using folder = new Folder();
  furnish(folder, PACKAGES);
  for (const [name, text] of PAGE) {
    if (!name.includes("/")) writeFileSync(folder.file(name), text);
  }
  const args = RUNTIME === "deno" ? ["run", "-A", "--no-check"] : [];
  const command = [process.execPath, ...args, `${RUNTIME}.ts`];
  await assertKeeps(folder.path, command, process.env);
});

// ---- What is built ----

function inFullRun(framework: string, packages: string | undefined): { skip: string | false } {
  return {
    skip: only("node").skip ||
      (process.env.SQLITE3ASYNC_TEST_FULL !== "1" && "of a full run") ||
      (packages === undefined && `there is no ${framework} to be had`),
  };
}

function write(site: Site, name: string, text: string): void {
  mkdirSync(dirname(join(site.project, name)), { recursive: true });
  site.write(name, text);
}

/** A project with the package, a framework, and the page's files for it. */
async function furnishSite(
  site: Site,
  framework: string,
  packages: string,
  database: string,
): Promise<void> {
  await site.install("npm");
  const manifest = JSON.parse(readFileSync(join(site.project, "package.json"), "utf8"));
  site.write("package.json", JSON.stringify({ ...manifest, type: "module" }));
  const modules = join(site.project, "node_modules");
  cpSync(join(packages, "node_modules"), modules, { recursive: true });
  write(site, database, PAGE.get("database.ts")!);
  for (const [name, text] of PAGE) {
    if (name.startsWith(`${framework}/`)) write(site, name.slice(framework.length + 1), text);
  }
}

const VITE_CONFIG = `
import adapter from "@sveltejs/adapter-node";
import { sveltekit } from "@sveltejs/kit/vite";

export default { plugins: [sveltekit({ adapter: adapter() })] };
`;

const APP_HTML = `<!doctype html>
<html><head>%sveltekit.head%</head><body><div>%sveltekit.body%</div></body></html>
`;

test(
  "a server with SvelteKit keeps what it has promised, and ends at SIGTERM",
  inFullRun("SvelteKit", SVELTEKIT_DIR),
  async () => {
    using site = new Site();
    await furnishSite(site, "sveltekit", SVELTEKIT_DIR!, "src/lib/server/database.ts");
    write(site, "vite.config.js", VITE_CONFIG);
    write(site, "src/app.html", APP_HTML);
    await site.must([process.execPath, "node_modules/vite/bin/vite.js", "build"]);
    assert.ok(!existsSync(join(site.project, "app.db")), "the build has opened the database");
    const env = { ...site.env, HOST: "127.0.0.1" };
    await assertKeeps(site.project, [process.execPath, "build/index.js"], env);
  },
);

const LAYOUT = `
export default function Layout({ children }) {
  return <html><body>{children}</body></html>;
}
`;

/** Next.js builds a project in TypeScript only with a compiler and declarations beside it. */
async function withoutTypes(site: Site): Promise<void> {
  const { stripTypeScriptTypes } = await import("node:module"); // which not every runtime has
  for (const name of ["lib/database", "app/notes/route", "instrumentation"]) {
    const path = join(site.project, name);
    write(site, `${name}.js`, stripTypeScriptTypes(readFileSync(`${path}.ts`, "utf8")));
    rmSync(`${path}.ts`);
  }
}

test(
  "a server with Next.js keeps what it has promised, and ends at SIGTERM",
  inFullRun("Next.js", NEXT_DIR),
  async () => {
    using site = new Site();
    await furnishSite(site, "next", NEXT_DIR!, "lib/database.ts");
    await withoutTypes(site);
    write(site, "app/layout.js", LAYOUT);
    write(site, "app/page.js", "export default () => <p>A page.</p>;");
    site.env.NEXT_TELEMETRY_DISABLED = "1";
    const next = [process.execPath, "node_modules/next/dist/bin/next"];
    await site.must([...next, "build"]);
    assert.ok(!existsSync(join(site.project, "app.db")), "the build has opened the database");
    const start = [...next, "start", "--hostname", "127.0.0.1"];
    await assertKeeps(site.project, start, site.env, 128 + 15); // as a shell tells of SIGTERM
  },
);
