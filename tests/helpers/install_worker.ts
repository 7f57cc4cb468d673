/** A Worker that installs with no options and tells what it finds. */
import { install } from "../../mod.ts";

const vfs = await install();
const scope = globalThis as unknown as { postMessage(data: unknown): void };
scope.postMessage({ name: vfs.name, diskFullRetryMs: vfs.diskFullRetryMs });
