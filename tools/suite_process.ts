/**
 * One run of a suite: a process, and the looks at what it leaves.
 *
 * @module
 */
import { type Look, look } from "./suite_look.ts";

/** What a suite runs under. */
export type Runtime = "deno" | "bun" | "node";

/** One way to run a suite. */
export interface Variant {
  side: "plain" | "ours";
  journal: "WAL" | "DELETE";
  /** How databases get to the VFS: by vfs.route(), or by the option makeDefault. */
  way: "route" | "default";
}

/** What a check saw, as JSON, or the error that it ended with. */
export interface Check {
  saw?: string;
  error?: string;
}

/** The checks of a run by their names. */
export type Report = Map<string, Check>;

/** What begins the lines of the harness in tests/suites/. */
const MARK = "\u0001suite ";

/** The databases that a suite leaves, as the harness says it. */
interface Leavings {
  databases: string[];
  /** Those that are open until the process ends. */
  staysOpen: string[];
  volatile: string[];
  /** The library closes databases when it is told to. */
  closes: boolean;
}

const TIMEOUT_MS = 180_000;

const COMMANDS: Record<Runtime, string[]> = {
  deno: ["deno", "run", "-A", "--no-check"],
  bun: ["bun", "run"],
  node: ["node", "--no-warnings"],
};

/** Run a suite whose program is in `folder`, in a new folder below that. */
export async function runSuite(
  folder: string,
  name: string,
  runtime: Runtime,
  variant: Variant,
): Promise<Report> {
  const { side, journal, way } = variant;
  const cwd = `${folder}/runs/${name}-${runtime}-${side}-${journal}`;
  Deno.mkdirSync(cwd, { recursive: true });
  const [command, ...args] = [...COMMANDS[runtime], `${folder}/${name}.ts`];
  const child = new Deno.Command(command, {
    args,
    cwd,
    env: {
      NO_COLOR: "1",
      SQLITE3ASYNC_MODULE: `${Deno.cwd()}/mod.ts`,
      SUITE_SIDE: side,
      SUITE_JOURNAL: journal,
      SUITE_WAY: way,
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  const stderr = new Response(child.stderr).text();
  const report: Report = new Map();
  let leavings: Leavings | undefined;
  for await (const line of lines(child.stdout)) {
    if (!line.startsWith(MARK)) continue;
    const said = JSON.parse(line.slice(MARK.length));
    if (said.databases === undefined) {
      report.set(said.check, { saw: JSON.stringify(said.saw), error: brief(said.error) });
      continue;
    }
    leavings = said as Leavings;
    const { databases, staysOpen } = leavings;
    const closed = databases.filter((path) => !staysOpen.includes(path));
    lookAll(report, "after the close", cwd, { ...leavings, databases: closed });
    await child.stdin.close(); // the suite waits for this
  }
  const { code, signal } = await child.status;
  clearTimeout(timer);
  if (leavings !== undefined) lookAll(report, "after the end", cwd, leavings);
  const ended = code === 0
    ? { saw: "0" }
    : { error: `${signal ?? `exit code ${code}`}; ${brief(await stderr)}` };
  report.set("the process ends", ended);
  return report;
}

/** Look at each database from outside, and at the names of the folder's files. */
function lookAll(
  report: Report,
  when: string,
  cwd: string,
  { databases, volatile, closes }: Leavings,
): void {
  // If the library leaves databases open, it is chance which of them are collected by now. Besides,
  // plain SQLite has the index of an open WAL in a file, and the VFS in memory.
  const files = [...Deno.readDirSync(cwd)].map(({ name }) => name)
    .filter((name) => closes || !/-(wal|shm)$/.test(name)).sort();
  report.set(`the files ${when}`, { saw: JSON.stringify(files) });
  for (const path of databases) {
    report.set(
      `${path} from outside, ${when}`,
      attempt(() => look(`${cwd}/${path}`, volatile)),
    );
  }
}

/** The message of an error, and where in our own programs it came up. */
function brief(error: string | undefined): string | undefined {
  if (error === undefined) return undefined;
  const [message, ...stack] = error.split("\n");
  const own = stack.find((line) => /zig-out.suites.\w+\.ts:\d+/.test(line)) ?? "";
  return `${message.slice(0, 300)} ${own.trim().replace(/^at .*[/\\]/, "at ")}`.trim();
}

function attempt(work: () => Look): Check {
  try {
    const found = work();
    return found.integrity === "ok"
      ? { saw: JSON.stringify(found) }
      : { error: `integrity_check: ${found.integrity}` };
  } catch (error) {
    return { error: String(error) };
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream() as TransformStream)) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest !== "") yield rest;
}
