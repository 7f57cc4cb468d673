/**
 * What a container does with an image, without a container: a root folder with this runtime and the
 * package, in which a command runs as process 1 by chroot, in namespaces of its own, with the root
 * mounted read-only and no home.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { chownSync, cpSync, existsSync, lstatSync, mkdirSync, readFileSync } from "node:fs";
import { readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { PLATFORMS } from "../../ffi/platform.ts";
import { moduleText, prebuiltOf } from "../../tools/embed.ts";
import { Running } from "./child.ts";
import { RUNTIME } from "./execute.ts";
import { Folder } from "./folder.ts";

/** Who runs what is in the image, and to whom its data belongs. */
export const USER = 1000;

/** What an image has besides the package. */
export interface Base {
  /** The root folder of the system; "" is this one's. */
  root: string;
  /** The path of the runtime's program, outside of the image. */
  runtime: string;
  /** The path of the library that the package carries. */
  library: string;
}

/** What a command finds. */
export interface Surroundings {
  env?: Record<string, string>;
  /** Its user; {@linkcode USER} if it isn't given. */
  user?: number;
  /** The root may be written: for the steps that build an image. */
  writable?: boolean;
  /** /tmp: none that can be written, as `docker run --tmpfs /tmp` mounts it, or with ":exec". */
  tmp?: "none" | "noexec" | "exec";
  /** What Deno may do; everything if it isn't given. */
  flags?: string[];
}

/** Mounts what a container has, and runs what follows the first arguments. */
const ENTER = `
set -eu
root=$1 base=$2 data=$3 runtime=$4 writable=$5 tmp=$6 user=$7
shift 7
mount --bind "$root" "$root"
for name in usr bin sbin lib lib64; do
  [ -L "$root/$name" ] || [ ! -d "$base/$name" ] || mount --bind "$base/$name" "$root/$name"
done
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$data" "$root/data"
mount --bind "$runtime" "$root/opt/\${runtime##*/}"
[ "$tmp" = none ] || mount -t tmpfs -o "mode=1777,nosuid,nodev,$tmp" tmpfs "$root/tmp"
[ "$writable" = true ] || mount -o remount,bind,ro "$root"
exec chroot --userspec="$user:$user" --groups= "$root" "$@"
`;

/** What runs in an image. */
export class Container extends Running {
  /** Its process 1, as this system knows it, that is, the child of unshare. */
  #first(): number | undefined {
    const text = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, "utf8");
    return text === "" ? undefined : Number(text);
  }

  /** Send a signal to process 1. */
  override kill(signal: NodeJS.Signals): void {
    process.kill(this.#first()!, signal);
  }

  /** Not unshare alone: another user's process does not hear of its end. */
  protected override end(): void {
    const first = this.#first();
    if (first !== undefined) process.kill(first, "SIGKILL");
    super.end();
  }
}

/** An image with the package in /app/vfs, its volume, and what is left of both when it has run. */
export class Image extends Folder {
  /** The volume at /data. */
  readonly data: string = this.file("data");
  readonly #root: string = this.file("root");
  readonly #enter: string = this.file("enter.sh");
  readonly #base: string;
  /** By another path: if a command names its own, Deno gives it further flags. */
  readonly #runtime: string;

  constructor({ root: base, runtime, library }: Base) {
    super();
    this.#base = base;
    this.#runtime = this.file(basename(runtime));
    for (const name of ["proc", "dev", "data", "tmp", "opt", "app/vfs/ffi/prebuilt"]) {
      mkdirSync(this.within(name), { recursive: true });
    }
    for (const name of ["usr", "bin", "sbin", "lib", "lib64"]) this.#provide(name);
    symlinkSync(runtime, this.#runtime);
    writeFileSync(this.within(`opt/${basename(this.#runtime)}`), "");
    writeFileSync(this.#enter, ENTER);
    mkdirSync(this.data);
    chownSync(this.data, USER, USER);
    const sources = new URL("../../", import.meta.url);
    const filter = (path: string) => !/prebuilt[/\\]/.test(path);
    cpSync(new URL("ffi", sources), this.within("app/vfs/ffi"), { recursive: true, filter });
    cpSync(new URL("mod.ts", sources), this.within("app/vfs/mod.ts"));
    writeFileSync(this.within("app/package.json"), `{ "type": "module" }`);
    const text = moduleText(prebuiltOf(library));
    for (const name of PLATFORMS) {
      writeFileSync(this.within(`app/vfs/ffi/prebuilt/${name}.ts`), text);
    }
  }

  /** The path outside of something in the image. */
  within(path: string): string {
    return join(this.#root, path);
  }

  /** A folder of the system, which is mounted; a link stays one. */
  #provide(name: string): void {
    const folder = `${this.#base}/${name}`;
    if (!existsSync(folder)) return;
    if (!lstatSync(folder).isSymbolicLink()) mkdirSync(this.within(name));
    else symlinkSync(readlinkSync(folder), this.within(name));
  }

  /** Start this runtime with arguments: the first one is a file of the image, or the runtime's. */
  start(args: string[], surroundings: Surroundings = {}): Container {
    const { env, user = USER, writable = false, tmp = "none", flags } = surroundings;
    const enter = [this.#root, this.#base, this.data, this.#runtime, `${writable}`, tmp, `${user}`];
    const denoFlags = ["run", "--no-prompt", "--no-check", ...(flags ?? ["-A"])];
    const runtime = `/opt/${basename(this.#runtime)}`;
    const isFile = args[0]!.startsWith("/");
    const inside = [runtime, ...(RUNTIME === "deno" && isFile ? denoFlags : []), ...args];
    const namespaces = ["--mount", "--pid", "--fork", "--kill-child"];
    const command = ["unshare", ...namespaces, "--", "bash", this.#enter, ...enter];
    const path = "/usr/sbin:/usr/bin:/sbin:/bin";
    return new Container([...command, ...inside], {
      PATH: path,
      DENO_DIR: "/app/deno",
      NO_COLOR: "1",
      ...env,
    });
  }

  /** A step of the build: it is root's, and may write anywhere. Returns what it printed. */
  async build(args: string[], env: Record<string, string> = {}, user: number = 0): Promise<string> {
    using step = this.start(args, { env, user, writable: true });
    const { code, stdout, stderr } = await step.ended();
    if (code !== 0) throw new Error(`${args.join(" ")}: ${code}\n${stdout}${stderr}`);
    return stdout;
  }
}

/** Why there can be no {@linkcode Image} on this system, or false. */
export function whyNoImage(): string | false {
  if (process.platform !== "linux") return "it takes Linux's namespaces";
  if (process.getuid?.() !== 0) return "only root can mount and chroot";
  try {
    const tmpfs = "mount -t tmpfs tmpfs /tmp && mount -t proc proc /proc";
    execFileSync("unshare", ["--mount", "--pid", "--fork", "sh", "-c", tmpfs], { stdio: "pipe" });
    return false;
  } catch (error) {
    return `unshare: ${(error as Error).message.trim()}`;
  }
}
