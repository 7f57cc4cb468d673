/**
 * The libraries that the package carries: a generated module for each platform. It is imported
 * only where it is needed, but by a fixed name, so that whatever follows imports (a package
 * registry, a cache for offline use, a compiler to one file) takes it along.
 *
 * The modules are made by `./run prebuilt` and are not in the repository. So their types are
 * taken from a declaration, and a checkout without them passes the type check.
 *
 * @module
 */
import type { Platform } from "./platform.ts";

/** A library as its module carries it. */
export interface Prebuilt {
  /** The file's name where it was built. */
  readonly file: string;
  /** Bytes of the file. */
  readonly size: number;
  /** The file's SHA-256, in hexadecimal. */
  readonly sha256: string;
  /** The file, compressed by Brotli and written in base64. */
  readonly brotli: string;
}

/** What imports the module of a platform. */
export const prebuiltModules: Record<Platform, () => Promise<{ prebuilt: Prebuilt }>> = {
  // @ts-types="./prebuilt_module.d.ts"
  linux_x64_gnu: () => import("./prebuilt/linux_x64_gnu.ts"),
  // @ts-types="./prebuilt_module.d.ts"
  linux_arm64_gnu: () => import("./prebuilt/linux_arm64_gnu.ts"),
  // @ts-types="./prebuilt_module.d.ts"
  linux_x64_musl: () => import("./prebuilt/linux_x64_musl.ts"),
  // @ts-types="./prebuilt_module.d.ts"
  linux_arm64_musl: () => import("./prebuilt/linux_arm64_musl.ts"),
  // @ts-types="./prebuilt_module.d.ts"
  macos_x64: () => import("./prebuilt/macos_x64.ts"),
  // @ts-types="./prebuilt_module.d.ts"
  macos_arm64: () => import("./prebuilt/macos_arm64.ts"),
  // @ts-types="./prebuilt_module.d.ts"
  windows_x64: () => import("./prebuilt/windows_x64.ts"),
  // @ts-types="./prebuilt_module.d.ts"
  windows_arm64: () => import("./prebuilt/windows_arm64.ts"),
};
