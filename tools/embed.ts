/** The generated modules of ffi/prebuilt/: a library for each platform. @module */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { PLATFORMS } from "../ffi/platform.ts";
import type { Prebuilt } from "../ffi/prebuilt.ts";

const LIBRARIES = "zig-out/prebuilt";
const MODULES = "ffi/prebuilt";

/** The library of each platform, which `zig build prebuilt` has built. */
export function builtLibraries(): { platform: string; path: string }[] {
  return readdirSync(LIBRARIES, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) =>
      readdirSync(`${LIBRARIES}/${name}`).map((file) => {
        return { platform: name, path: `${LIBRARIES}/${name}/${file}` };
      })
    )
    .sort((a, b) =>
      PLATFORMS.findIndex((name) => name === a.platform) -
      PLATFORMS.findIndex((name) => name === b.platform)
    );
}

/** SHA-256 in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Lines as sha256sum's for files below a folder, by their names in it. */
export function checksums(folder: string, paths: string[]): string {
  return paths.map((path) => `${sha256(readFileSync(path))}  ${path.slice(folder.length + 1)}\n`)
    .join("");
}

/** A library as a module carries it. */
export function prebuiltOf(path: string): Prebuilt {
  const bytes = readFileSync(path);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return {
    file: basename(path),
    size: bytes.length,
    sha256: sha256(bytes),
    brotli: brotliCompressSync(bytes, { params }).toString("base64"),
  };
}

/** The text of the module that carries it. */
export function moduleText(prebuilt: Prebuilt): string {
  const lines = Object.entries(prebuilt).map(([name, value]) =>
    `  ${name}: ${JSON.stringify(value)},`
  );
  return `// Made by ./run prebuilt; not to be edited.
import type { Prebuilt } from "../prebuilt.ts";

/** The library. */
export const prebuilt: Prebuilt = {
${lines.join("\n")}
};
`;
}

/** Make the modules of all built libraries anew. Those that are right are left as they are. */
export function writeModules(): void {
  mkdirSync(MODULES, { recursive: true });
  const wanted = builtLibraries();
  for (const name of readdirSync(MODULES)) {
    if (!wanted.some(({ platform }) => name === `${platform}.ts`)) rmSync(`${MODULES}/${name}`);
  }
  for (const { platform, path } of wanted) {
    const file = `${MODULES}/${platform}.ts`;
    if (moduleFault(file, readFileSync(path)) === "") continue;
    writeFileSync(file, moduleText(prebuiltOf(path)));
  }
}

/** A line for each platform without its module, and each module that isn't its library. */
export function moduleFaults(): string[] {
  const libraries = builtLibraries();
  const built = libraries.map(({ platform }) => platform).join(" ");
  const faults = libraries
    .map(({ platform, path }) => moduleFault(`${MODULES}/${platform}.ts`, readFileSync(path)));
  if (built !== PLATFORMS.join(" ")) {
    faults.push(`${LIBRARIES} has ${built}, ffi/platform.ts names ${PLATFORMS.join(" ")}`);
  }
  return faults.filter((fault) => fault !== "");
}

/** What is wrong with a module; "" if it carries the library. */
function moduleFault(file: string, library: Uint8Array): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return `${file}: there is no such module`;
  }
  const value = (name: string) => text.match(new RegExp(`^  ${name}: (.*),$`, "m"))?.[1] ?? "null";
  if (JSON.parse(value("sha256")) !== sha256(library)) {
    return `${file}: of another library than ${LIBRARIES} has`;
  }
  if (JSON.parse(value("size")) !== library.length) return `${file}: the size is wrong`;
  try {
    const carried = brotliDecompressSync(Buffer.from(JSON.parse(value("brotli")), "base64"));
    return carried.equals(library) ? "" : `${file}: what it carries is not the library`;
  } catch {
    return `${file}: what it carries is damaged`;
  }
}
