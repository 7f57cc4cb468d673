/**
 * Paths and SQLite's URIs.
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { misuse, shown } from "./errors.ts";

/** Can C have this text as it is? A NUL would end it, and a lone surrogate is no character. */
function isPlain(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

/**
 * A database's path as text. An empty one is refused: to the native side it
 * would mean all databases. So is one that would mean another file there.
 */
export function toPath(path: string | URL, operation: string): string {
  const text = path instanceof URL ? fileURLToPath(path) : path;
  if (typeof text !== "string" || text === "") {
    const message = `Cannot use ${shown(text)} in ${operation}(): a database's path is wanted`;
    throw misuse(operation, message);
  }
  if (!isPlain(text)) {
    const message = `Cannot use ${shown(text)} in ${operation}(): ` +
      "a path has no NUL character and no half of a surrogate pair";
    throw misuse(operation, message, text);
  }
  return text;
}

/** Escape what would end or bend the path of a URI; white space for those who split at it. */
function escapePath(path: string): string {
  return path.replace(/[%?#\s]/g, (character) => {
    return encodeURIComponent(character);
  });
}

/** The `file:` URI of a database with its query. */
export function toUri(path: string, query: Record<string, string>): string {
  for (const [name, value] of Object.entries(query)) {
    // SQLite passes over what follows "%00": a parameter "vfs\0x" would be one "vfs".
    if (isPlain(name) && isPlain(String(value))) continue;
    const parameter = `${shown(name)} = ${shown(value)}`;
    throw misuse("uri", `Cannot make a URI with the parameter ${parameter}: it is no plain text`);
  }
  let escaped = escapePath(path);
  if (process.platform === "win32") {
    escaped = escaped.replaceAll("\\", "/").replace(/^[A-Za-z]:/, (drive) => `/${drive}`);
  }
  // An empty authority, so that a path with two leading slashes stays one.
  const authority = escaped.startsWith("/") ? "//" : "";
  // Not URLSearchParams: SQLite doesn't read "+" as a space.
  const parameters = Object.entries(query).map(([name, value]) => {
    return `${encodeURIComponent(name)}=${encodeURIComponent(value)}`;
  });
  return `file:${authority}${escaped}?${parameters.join("&")}`;
}
