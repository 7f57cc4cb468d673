/**
 * A user's folder, in which the package is installed as it is packed, and nothing of this checkout
 * is in reach.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { numbersIn, numbersTo } from "./check.ts";
import { currentPlatform, type Platform, PLATFORMS } from "../../ffi/platform.ts";
import { execute, type Outcome, RUNTIME } from "./execute.ts";
import { Folder } from "./folder.ts";

/** The package's name. */
export const NAME = "@sqlite3async/vfs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PACKED = join(ROOT, process.env.SQLITE3ASYNC_PACKED ?? "zig-out/pack");
/** What was packed: this checkout, or a copy of it beside the archive. */
export const SOURCES: string = existsSync(join(PACKED, "sources"))
  ? join(PACKED, "sources")
  : process.cwd();
/** The platforms whose libraries are in it. */
export const CARRIED: readonly Platform[] = SOURCES === process.cwd()
  ? PLATFORMS
  : [currentPlatform()];
const archive = existsSync(PACKED)
  ? readdirSync(PACKED).filter((name) => name.endsWith(".tgz")).map((name) => join(PACKED, name))[0]
  : undefined;
const TIMEOUT_MS = 120_000;
/** Where nobody listens: a registry that cannot be reached. */
const NOWHERE = "http://127.0.0.1:9/";

/** A test that one runtime makes, of what is packed. */
export function only(runtime: string): { skip: string | false } {
  if (runtime !== RUNTIME) return { skip: `of ${runtime}` };
  return { skip: archive === undefined && "nothing is packed: ./run test does it, or ./run pack" };
}

/** Commits one row that it flushes, and one that the exit must save. */
const PROGRAM = `
import { install } from "${NAME}";
import { DatabaseSync } from "node:sqlite";
import process from "node:process";

const vfs = await install();
vfs.route("data/app.db");
const database = new DatabaseSync("data/app.db");
database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
database.exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)");
const insert = database.prepare("INSERT INTO t VALUES (NULL)");
insert.run();
await vfs.flush();
const { state, committed, durable } = vfs.status("data/app.db");
console.log(vfs.name, state, durable > 0 && durable === committed);
insert.run();
process.exit(0);
`;
/** What it prints. */
export const PRINTED = "sqlite3async running true\n";

/** A user's folder: a project, and a home and caches of its own. */
export class Site extends Folder {
  readonly home: string = this.file("home");
  readonly caches: string = this.file("caches");
  readonly project: string = this.file("project");
  /** The environment of its commands: nothing of the tests' own but where programs are. */
  readonly env: Record<string, string> = {
    PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
    HOME: this.home,
    XDG_CACHE_HOME: this.caches,
    NO_COLOR: "1",
    DENO_DIR: this.file("deno"),
    DENO_NO_UPDATE_CHECK: "1",
    JSR_URL: NOWHERE,
    BUN_INSTALL_CACHE_DIR: this.file("bun"),
    npm_config_cache: this.file("npm"),
    npm_config_registry: NOWHERE,
    npm_config_fetch_retries: "0",
    npm_config_update_notifier: "false",
  };

  constructor() {
    super();
    mkdirSync(this.home);
    mkdirSync(join(this.project, "data"), { recursive: true });
    this.write("program.mjs", PROGRAM);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.project, name), text);
  }

  /** Run a command in the project, or elsewhere. */
  execute(command: string[], cwd: string = this.project): Promise<Outcome> {
    const options = { cwd, env: this.env, timeoutMs: TIMEOUT_MS };
    return execute(command[0]!, command.slice(1), options);
  }

  /** Run a command that must succeed. Returns what it printed. */
  async must(command: string[], cwd?: string): Promise<string> {
    const { code, stdout, stderr } = await this.execute(command, cwd);
    const words = command.map((word) => basename(word)).join(" ");
    assert.equal(code, 0, `${words}: ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Install the archive, as npm or Bun does it. */
  async install(installer: "npm" | "bun"): Promise<void> {
    this.write("package.json", `{ "private": true }`);
    const commands = {
      npm: ["npm", "install", "--no-audit", "--no-fund", archive!],
      bun: [process.execPath, "add", archive!],
    };
    await this.must(commands[installer]);
  }

  /** Where a package manager has put the package. */
  get installed(): string {
    return join(this.project, "node_modules", NAME);
  }

  /**
   * Run the program, or what was made of it, twice: what it prints must be right, what it leaves
   * be a plain database, and what the package has carried lie in `unpacked`.
   */
  async assertRuns(command: string[], unpacked: string = this.caches): Promise<void> {
    const data = join(this.project, "data");
    rmSync(data, { recursive: true });
    mkdirSync(data);
    for (const rows of [2, 4]) {
      assert.equal(await this.must(command), PRINTED);
      assert.deepEqual(numbersIn(join(data, "app.db")), numbersTo(rows));
    }
    const ours = filesIn(unpacked).filter((path) => path.startsWith("sqlite3async"));
    assert.match(ours.join(), /^sqlite3async(-\d+)?\/libsqlite3async-\w+\.\w+$/);
    rmSync(unpacked, { recursive: true });
  }
}

/** The paths of a folder's files, with slashes. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1))
    .map((path) => path.replaceAll("\\", "/"))
    .sort();
}
