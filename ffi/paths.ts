/**
 * Paths and SQLite's URIs.
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { misuse } from "./errors.ts";

/**
 * A database's path as text. An empty one is refused: to the native side it
 * would mean all databases.
 */
export function toPath(path: string | URL, operation: string): string {
  const text = path instanceof URL ? fileURLToPath(path) : path;
  if (typeof text !== "string" || text === "") {
    const message = `Cannot ${operation} ${JSON.stringify(text)}: a database's path is wanted`;
    throw misuse(operation, message);
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
