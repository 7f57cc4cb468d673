/**
 * The functions of csrc/sqlite3async.h that TypeScript calls, declared once for
 * every runtime.
 *
 * Only types that all foreign-function interfaces agree on: `i32`, `i64` and
 * `buffer` (a typed array, never null). The variadic `sqlite3async_control` must
 * not be called this way, its arguments travel differently on arm64.
 *
 * @module
 */

/** A type that a native function takes or returns. */
export type NativeType = "i32" | "i64" | "buffer";

/** A native function's parameter types and its result's type. */
export interface Signature {
  readonly parameters: readonly NativeType[];
  readonly result: Exclude<NativeType, "buffer">;
}

/** Every function, by its name in the library. */
export const symbols = {
  sqlite3async_version: { parameters: [], result: "i32" },
  sqlite3async_errmsg: { parameters: ["buffer", "i32"], result: "i32" },
  sqlite3async_set: { parameters: ["i32", "i64"], result: "i32" },
  sqlite3async_get: { parameters: ["i32", "buffer"], result: "i32" },
  sqlite3async_prepare: { parameters: ["buffer", "i32"], result: "i32" },
  sqlite3async_start: { parameters: [], result: "i32" },
  sqlite3async_stop: { parameters: ["i32"], result: "i32" },
  sqlite3async_drain: { parameters: [], result: "i32" },
  sqlite3async_ending: { parameters: [], result: "i32" },
  sqlite3async_close: { parameters: ["i32"], result: "i32" },
  sqlite3async_release_closed: { parameters: [], result: "i32" },
  sqlite3async_close_by_force: { parameters: ["i32"], result: "i32" },
  sqlite3async_route: { parameters: ["buffer"], result: "i32" },
  sqlite3async_unroute: { parameters: ["buffer"], result: "i32" },
  sqlite3async_exclude: { parameters: ["buffer"], result: "i32" },
  sqlite3async_flush: { parameters: ["buffer", "i32"], result: "i32" },
  sqlite3async_release: { parameters: ["buffer", "i32"], result: "i32" },
  sqlite3async_flush_begin: { parameters: ["buffer", "buffer", "i32"], result: "i32" },
  sqlite3async_durable: { parameters: ["i64"], result: "i64" },
  sqlite3async_status: { parameters: ["buffer", "buffer", "i32"], result: "i32" },
  sqlite3async_databases: { parameters: ["buffer", "i32"], result: "i32" },
  sqlite3async_is_open: { parameters: ["buffer"], result: "i32" },
  sqlite3async_event: { parameters: ["buffer", "buffer", "i32"], result: "i32" },
} as const satisfies Record<string, Signature>;

/** What JavaScript passes for a native type; an `i64` may come back as either. */
interface ValueOf {
  i32: number;
  i64: bigint;
  buffer: Uint8Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>;
}

interface ResultOf {
  i32: number;
  i64: number | bigint;
}

type ParametersOf<Types extends readonly NativeType[]> = {
  -readonly [Index in keyof Types]: ValueOf[Types[Index]];
};

/** The functions of {@linkcode symbols} as JavaScript sees them. */
export type NativeFunctions = {
  readonly [Name in keyof typeof symbols]: (
    ...values: ParametersOf<(typeof symbols)[Name]["parameters"]>
  ) => ResultOf[(typeof symbols)[Name]["result"]];
};
