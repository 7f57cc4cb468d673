/**
 * The package in what bundlers make of a program: each bundles a small server with what it needs to
 * make a program for Node and nothing more, and says no warning; what it made runs in a folder that
 * has neither the package nor this checkout in reach.
 *
 * What is compiled to one file is tested in package.test.ts.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { numbersIn, numbersTo } from "./helpers/check.ts";
import { NAME, only, Site } from "./helpers/site.ts";

const { BUNDLERS_DIR, NEXT_DIR } = process.env;
const inNode = only("node");
const options = {
  skip: inNode.skip || (BUNDLERS_DIR === undefined && "./run test says where the bundlers are"),
};
const MODULES = join(BUNDLERS_DIR ?? "", "node_modules");
const ESBUILD = join(MODULES, "esbuild/bin/esbuild");

/**
 * A server that commits a row for each request and flushes the first; it sends itself two, prints
 * what package.test.ts's program prints, and ends. It awaits nothing outside of a function, which a
 * CommonJS module could not.
 */
const SERVER = `
import { install } from "${NAME}";
import { createServer } from "node:http";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

async function main() {
  const vfs = await install();
  vfs.route("data/app.db");
  const database = new DatabaseSync("data/app.db");
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  database.exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)");
  const insert = database.prepare("INSERT INTO t VALUES (NULL)");

  const server = createServer(async (request, response) => {
    insert.run();
    if (request.url === "/durable") await vfs.flush();
    const { state, committed, durable } = vfs.status("data/app.db");
    response.end([vfs.name, state, durable > 0 && durable === committed].join(" "));
  });
  server.listen(0, "127.0.0.1", async () => {
    const url = "http://127.0.0.1:" + server.address().port;
    console.log(await (await fetch(url + "/durable")).text());
    await fetch(url);
    process.exit(0);
  });
}

main();
`;

/** Webpack with its defaults for a program for Node. Given what it is to write: ES modules? */
function webpackScript(output: string): string {
  return `
import process from "node:process";
import webpack from ${JSON.stringify(join(MODULES, "webpack/lib/index.js"))};
webpack({
  mode: "production",
  target: "node",
  entry: "./server.mjs",
  context: process.cwd(),
  ${output}
}, (error, stats) => {
  if (error) throw error;
  if (stats.hasErrors() || stats.hasWarnings()) console.error(stats.toString("errors-warnings"));
});
`;
}

/** A way to bundle server.mjs into the folder "out". */
interface Way {
  bundler: string;
  command: string[];
  /** Files that it is given besides, by their names. */
  files?: Record<string, string>;
  /** The bundle's file to start. */
  main: string;
  /** What runs it; Node, if it is not given. */
  runners?: string[][];
}

const node = process.execPath;
const esbuild = [node, ESBUILD, "server.mjs", "--bundle", "--platform=node", "--log-level=warning"];
const esmModule = { "package.json": `{ "private": true, "type": "module" }` };
const bun = ["bun"];
const deno = ["deno", "run", "-A", "--cached-only"];

const WAYS: Way[] = [
  {
    bundler: "esbuild, one ES module",
    command: [...esbuild, "--format=esm", "--outfile=out/server.mjs"],
    main: "out/server.mjs",
    runners: [[node], bun, deno],
  },
  {
    bundler: "esbuild, chunks, minified",
    command: [...esbuild, ..."--format=esm --splitting --minify --outdir=out".split(" ")],
    files: esmModule,
    main: "out/server.js",
  },
  {
    bundler: "esbuild, CommonJS",
    command: [...esbuild, "--format=cjs", "--outfile=out/server.cjs"],
    main: "out/server.cjs",
    runners: [[node], bun, deno],
  },
  {
    bundler: "Rolldown",
    command: [node, join(MODULES, "rolldown/bin/cli.mjs"), "server.mjs", "-p", "node", "-d", "out"],
    files: esmModule,
    main: "out/server.js",
  },
  {
    bundler: "Vite, for SSR",
    command: [node, join(MODULES, "vite/bin/vite.js"), ..."build --ssr server.mjs".split(" ")],
    files: {
      "vite.config.mjs": `
export default { ssr: { noExternal: true }, build: { outDir: "out" }, logLevel: "warn" };
`,
    },
    main: "out/server.mjs",
  },
  {
    bundler: "webpack, CommonJS",
    command: [node, "webpack.mjs"],
    files: {
      "webpack.mjs": webpackScript(
        `output: { path: process.cwd() + "/out", filename: "server.cjs" },`,
      ),
    },
    main: "out/server.cjs",
  },
  {
    bundler: "webpack, ES modules",
    command: [node, "webpack.mjs"],
    files: {
      "webpack.mjs": webpackScript(`
  output: { path: process.cwd() + "/out", filename: "server.mjs", module: true },
  experiments: { outputModule: true },`),
    },
    main: "out/server.mjs",
  },
  {
    bundler: "bun build, for Node",
    command: ["bun", "build", "server.mjs", "--target=node", "--outfile=out/server.mjs"],
    main: "out/server.mjs",
  },
  {
    bundler: "bun build, for Bun, chunks",
    command: ["bun", "build", ..."server.mjs --target=bun --splitting --outdir=out".split(" ")],
    files: esmModule,
    main: "out/server.js",
    runners: [bun],
  },
];

for (const { bundler, command, files = {}, main, runners = [[node]] } of WAYS) {
  test(`${bundler}: the bundle runs alone`, options, async () => {
    using site = new Site();
    await site.install("npm");
    site.write("server.mjs", SERVER);
    for (const [name, text] of Object.entries(files)) site.write(name, text);
    const { code, stdout, stderr } = await site.execute(command);
    assert.equal(code, 0, stdout + stderr);
    assert.equal(stderr, "");

    using elsewhere = new Site();
    rmSync(elsewhere.project, { recursive: true });
    mkdirSync(join(elsewhere.project, "data"), { recursive: true });
    if ("package.json" in files) elsewhere.write("package.json", files["package.json"]!);
    renameSync(join(site.project, "out"), join(elsewhere.project, "out"));
    site[Symbol.dispose]();
    for (const runner of runners) await elsewhere.assertRuns([...runner, main]);
  });
}

// ---- Next.js ----

/** A route that opens the database at its first request, and at each commits a row. */
function route(driver: string, install: string, open: string): string {
  return `
${driver}
import { install } from "${NAME}";

let opening;

async function open() {
  const vfs = await ${install};
  vfs.route("data/app.db");
  const database = ${open};
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  database.exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)");
  return { vfs, database };
}

export async function POST() {
  const { vfs, database } = await (opening ??= open());
  database.exec("INSERT INTO t VALUES (NULL)");
  await vfs.flush();
  const { state, committed, durable } = vfs.status("data/app.db");
  const { rows } = database.prepare("SELECT count(*) AS rows FROM t").get();
  return Response.json([rows, state, durable > 0 && durable === committed]);
}
`;
}

/** Each in a process of its own, for that has one SQLite with the VFS. */
const ROUTES: Record<string, string> = {
  "node-sqlite": route(
    `import { DatabaseSync } from "node:sqlite";`,
    "install()",
    `new DatabaseSync("data/app.db")`,
  ),
  "better-sqlite3": route(
    `import Database from "better-sqlite3";`,
    `install({ host: new Database(":memory:") })`,
    `new Database("data/app.db")`,
  ),
};

/** An instrumentation has a copy of the package to itself. */
const INSTRUMENTATION = `
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs" || process.env.INSTRUMENTED !== "1") return;
  const { install } = await import("${NAME}");
  await install();
}
`;

/** A project of Next.js, built, from which the package has then been taken. */
async function buildNext(site: Site, config: string): Promise<void> {
  await site.install("npm");
  cpSync(join(NEXT_DIR!, "node_modules"), join(site.project, "node_modules"), { recursive: true });
  for (const [name, text] of Object.entries(ROUTES)) {
    mkdirSync(join(site.project, "app", name), { recursive: true });
    site.write(`app/${name}/route.js`, text);
  }
  site.write(
    "app/layout.js",
    "export default ({ children }) => <html><body>{children}</body></html>;",
  );
  site.write("app/page.js", "export default () => <p>A page.</p>;");
  site.write("instrumentation.js", INSTRUMENTATION);
  site.write("next.config.mjs", `export default ${config};`);
  site.env.NEXT_TELEMETRY_DISABLED = "1";
  const printed = await site.must([node, NEXT, "build"]);
  assert.doesNotMatch(printed, /warn/i);
  rmSync(join(site.project, "node_modules/@sqlite3async"), { recursive: true });
}

const NEXT = "node_modules/next/dist/bin/next";

/** Start the server, send requests to a route, and end it. Returns the answers. */
async function ask(site: Site, command: string[], cwd: string, path: string): Promise<unknown[]> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  const env = { ...site.env, PORT: String(port), HOSTNAME: "127.0.0.1" };
  const server = spawn(command[0]!, command.slice(1), { cwd, env, stdio: ["ignore", 2, 2] });
  const ended = once(server, "exit");
  try {
    await listens(server, port);
    const answers = [];
    for (let request = 0; request < 2; request++) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST" });
      answers.push(response.ok ? await response.json() : response.status);
    }
    return answers;
  } finally {
    server.kill("SIGTERM");
    await ended;
  }
}

/** Wait for a server to answer. */
async function listens(server: ChildProcess, port: number): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!await fetch(`http://127.0.0.1:${port}/`).then((response) => response.ok, () => false)) {
    assert.ok(
      server.exitCode === null && performance.now() < deadline,
      "the server doesn't answer",
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Both drivers, on one database, in a project or in what was built of it. */
async function assertServes(site: Site, command: string[], cwd: string): Promise<void> {
  mkdirSync(join(cwd, "data"), { recursive: true });
  const answers = [];
  for (const [path, instrumented] of [["/node-sqlite", "1"], ["/better-sqlite3", "0"]] as const) {
    site.env.INSTRUMENTED = instrumented;
    answers.push(...await ask(site, command, cwd, path));
  }
  assert.deepEqual(answers, numbersTo(4).map((rows) => [rows, "running", true]));
  assert.deepEqual(numbersIn(join(cwd, "data/app.db")), numbersTo(4));
}

const inFullRun = {
  skip: inNode.skip ||
    (process.env.SQLITE3ASYNC_TEST_FULL !== "1" && "of a full run") ||
    (NEXT_DIR === undefined && "there is no Next.js to be had"),
};

test("next build: next start has the package in its bundles", inFullRun, async () => {
  using site = new Site();
  await buildNext(site, "{}");
  await assertServes(site, [node, NEXT, "start", "--hostname=127.0.0.1"], site.project);
});

test("next build, standalone: the server runs alone", inFullRun, async () => {
  using site = new Site();
  await buildNext(site, `{ output: "standalone" }`);
  using elsewhere = new Site();
  const alone = elsewhere.file("alone");
  renameSync(join(site.project, ".next/standalone"), alone);
  site[Symbol.dispose]();
  rmSync(join(alone, "node_modules/@sqlite3async"), { recursive: true });
  await assertServes(elsewhere, [node, "server.js"], alone);
});
