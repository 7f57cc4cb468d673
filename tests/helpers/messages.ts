/**
 * The messages that users can meet, as the sources have them.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT, sources, textOf } from "./docs.ts";

/** The fixed parts of a message with an inset: those that have some words. */
export function piecesOf(message: string): string[] {
  return message.split("\0").map((piece) => piece.trim()).filter((piece) => /\w \w/.test(piece));
}

/** The format strings of what the core says, with NUL for what is inset. */
export function cMessages(): string[] {
  const call = /(?:async_api_error|sqlite3_log|mprintf|snprintf)\(((?:[^;"]|"(?:[^"\\]|\\.)*")*);/g;
  return readdirSync(join(ROOT, "csrc")).filter((file) => file.endsWith(".c")).flatMap((file) => {
    return [...textOf(`csrc/${file}`).matchAll(call)].map(([, parameters]) => {
      const literals = [...parameters!.matchAll(/((?:"(?:[^"\\]|\\.)*"\s*)+)/g)];
      const format = literals.map(([text]) => text).find((text) => /\w \w/.test(text)) ?? '""';
      const joined = format.replace(/"\s*"/g, "").trim();
      const filled = joined.slice(1, -1).replace("\\n", "").replaceAll('\\"', '"');
      return filled.replace(/%[.\d]*(?:ll)?[sd]/g, "\0");
    });
  }).filter((message) => piecesOf(message).length > 0);
}

/** The messages of the TypeScript side, in the same form. */
export function typeScriptMessages(): string[] {
  const literal =
    /(["`])((?:Cannot|The background) (?:(?!\1).)*)\1((?:\s*\+\s*(["`])(?:(?!\4).)*\4)*)/gs;
  return sources().flatMap((path) => {
    const code = textOf(path).replace(/^\s*(\/?\*|\/\/).*$/gm, "");
    return [...code.matchAll(literal)].map(([, , first, rest]) => {
      const more = [...rest!.matchAll(/(["`])(.*?)\1/gs)].map(([, , text]) => text);
      return [first, ...more].join("").replace(/\$\{.*?\}/gs, "\0");
    });
  });
}
