/** A Worker that installs the VFS, as on Windows, says so and ends. @module */
import process from "node:process";
import { install } from "../../mod.ts";

Object.defineProperty(process, "platform", { value: "win32" });
await install();
const scope = globalThis as unknown as { postMessage(data: unknown): void };
scope.postMessage("installed");
setTimeout(() => process.exit(0), 100);
