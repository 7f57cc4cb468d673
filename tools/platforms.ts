/**
 * What is built for other platforms, run here: under emulators, and with other C libraries.
 *
 * Each platform has `extension_test`, a program with SQLite that loads the shared library as it is
 * shipped (tests/platform/), and where the native tests can run, all of these too. What is needed
 * for that comes from Debian's packages (`run` unpacks them); where there are none, a platform is
 * told as skipped.
 *
 * @module
 */

import { filesIn } from "./files.ts";
import { type Result, zigBuild } from "./process.ts";
import { WINDOWS_LIBRARY, wineEnvironment } from "./windows.ts";

interface Platform {
  name: string;
  /** Zig's name for it. */
  target: string;
  /** The variable with the folder of what runs it; none if this system does. */
  tool?: "QEMU_DIR" | "MUSL_DIR" | "WINE_DIR";
  /** What a dynamic program is started with, given the tool's folder. */
  extension?: (tool: string) => string[];
  /** The same for the native tests, which are static programs. */
  native?: (tool: string) => string[];
}

/** A program to be run. */
export interface PlatformProgram {
  /** "arm64-musl/queue_test" */
  name: string;
  command: string[];
  /** The file of the program, and of the library if it loads that. */
  files: string[];
  env: Record<string, string>;
}

const qemu = (tool: string) => `${tool}/usr/bin/qemu-aarch64-static`;

const PLATFORMS: Platform[] = [
  { name: "x64-gnu", target: "x86_64-linux-gnu.2.17", extension: () => [] },
  {
    name: "x64-musl",
    target: "x86_64-linux-musl",
    tool: "MUSL_DIR",
    extension: (tool) => [`${tool}/lib/ld-musl-x86_64.so.1`],
    native: () => [],
  },
  {
    name: "arm64-gnu",
    target: "aarch64-linux-gnu.2.17",
    tool: "QEMU_DIR",
    extension: (tool) => [qemu(tool), "-L", `${tool}/usr/aarch64-linux-gnu`],
  },
  {
    name: "arm64-musl",
    target: "aarch64-linux-musl",
    tool: "QEMU_DIR",
    native: (tool) => [qemu(tool)],
  },
  {
    name: "x64-windows",
    target: "x86_64-windows-gnu",
    tool: "WINE_DIR",
    extension: (tool) => [`${tool}/bin/wine64`],
  },
];

const isHere = Deno.build.target.startsWith("x86_64") && Deno.build.os === "linux";
const available = PLATFORMS.filter(({ tool }) => isHere && (!tool || Deno.env.get(tool)));

/** The platforms that cannot be run here, and why. */
export function skippedPlatforms(): string[] {
  return PLATFORMS.filter((platform) => !available.includes(platform)).map(({ name, tool }) =>
    `${name}: ${isHere ? `${tool} is not set, see ./run` : "it is run on Linux x64 only"}`
  );
}

/** The platforms that can be run here, and what builds the programs for them. */
export function platformBuilds(): { name: string; build: () => Promise<Result> }[] {
  return available.map(({ name, target, native }) => {
    const steps = native ? ["platform-test", "native-tests"] : ["platform-test"];
    const options = [`-Dtarget=${target}`, `-Dfolder=platform/${name}`];
    return { name, build: () => zigBuild(...steps, ...options) };
  });
}

/** All programs of all platforms that can be run here. */
export function platformPrograms(): PlatformProgram[] {
  return available.flatMap((platform) => [
    ...(platform.extension ? [extensionTest(platform)] : []),
    ...(platform.native ? nativeTests(platform) : []),
  ]);
}

function extensionTest({ name, tool, extension }: Platform): PlatformProgram {
  const isWindows = name.endsWith("windows");
  const folder = `${Deno.cwd()}/zig-out/platform/${name}`;
  const program = `${folder}/extension_test${isWindows ? ".exe" : ""}`;
  const library = isWindows ? WINDOWS_LIBRARY : `${folder}/libsqlite3async.so`;
  return {
    name: `${name}/extension_test`,
    command: [...extension!(directoryOf(tool)), program, library],
    files: [program, library],
    env: isWindows ? wineEnvironment() : {},
  };
}

function nativeTests({ name, tool, native }: Platform): PlatformProgram[] {
  const folder = `zig-out/platform/${name}`;
  const names = [
    ...filesIn("tests/native", "_test.c").map((path) => path.replace(/^.*\/|\.c$/g, "")),
    ...filesIn("tests/fuzz", "_fuzz.c").map((path) => path.replace(/^.*\/|\.c$/g, "") + "_test"),
  ];
  return names.map((test) => ({
    name: `${name}/${test}`,
    command: [...native!(directoryOf(tool)), `${folder}/${test}`],
    files: [`${folder}/${test}`],
    env: {},
  }));
}

function directoryOf(tool: Platform["tool"]): string {
  return tool === undefined ? "" : Deno.env.get(tool)!;
}
