/** The library as a Node-API addon, which Node calls through, and which can be loaded anywhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadAddon } from "../ffi/addon.ts";
import { locateLibrary } from "../ffi/library.ts";
import { currentRuntime } from "../ffi/runtime.ts";
import { type NativeType, type Signature, symbols } from "../ffi/symbols.ts";
import { install } from "../mod.ts";
import { runProgram } from "./helpers/child.ts";

type AnyFunction = (...values: unknown[]) => unknown;

const vfs = await install();
const addon = loadAddon(await locateLibrary(await currentRuntime()));
const functions = addon as unknown as Record<string, AnyFunction>;
const signatures: [string, Signature][] = Object.entries(symbols);

const MAX_DELAY_MS = 18;

/** Where a buffer is one of 64-bit integers, not of bytes: which of the arguments. */
const integers: Record<string, number> = {
  sqlite3async_get: 1,
  sqlite3async_flush_begin: 1,
  sqlite3async_event: 0,
};

/** What may be passed, in the place of one argument. */
function good(name: string, index: number, type: NativeType): unknown {
  if (type === "i32") return 0;
  if (type === "i64") return 0n;
  return integers[name] === index ? new BigInt64Array(1) : new Uint8Array(1);
}

/** What may not, for its type. */
function bad(name: string, index: number, type: NativeType): unknown[] {
  const never = [undefined, null, "1", {}, Symbol("1"), NaN, Infinity, 1.5];
  if (type === "i32") return [...never, 1n, 2 ** 31, -(2 ** 31) - 1, new Uint8Array(1)];
  if (type === "i64") return [...never, 2n ** 63n, 2 ** 53 + 2, new BigInt64Array(1)];
  const arrays = [new Float64Array(1), new BigUint64Array(1), new Int8Array(1), new ArrayBuffer(8)];
  const other = integers[name] === index ? new Uint8Array(8) : new BigInt64Array(1);
  return [...never, 1, 1n, [0], new DataView(new ArrayBuffer(8)), ...arrays, other];
}

function assertTypeError(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof TypeError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

test("the addon exports the functions of symbols.ts and subscribe()", () => {
  const names = Object.keys(addon).sort();
  assert.deepEqual(names, [...Object.keys(symbols), "subscribe"].sort());
});

test("the addon refuses a wrong number of arguments", () => {
  for (const [name, { parameters }] of signatures) {
    const right = parameters.map((type, index) => good(name, index, type));
    const message = new RegExp(`^${name}: \\d+ arguments?, it takes ${right.length}$`);
    assertTypeError(() => functions[name]!(...right, 0), message);
    for (let count = 0; count < right.length; count++) {
      assertTypeError(() => functions[name]!(...right.slice(0, count)), message);
    }
  }
});

test("the addon refuses arguments of a wrong type or out of range, and says which", () => {
  let refused = 0;
  for (const [name, { parameters }] of signatures) {
    const right = parameters.map((type, index) => good(name, index, type));
    for (const [index, type] of parameters.entries()) {
      const message = new RegExp(`^${name}: argument ${index + 1} must be `);
      for (const value of bad(name, index, type)) {
        assertTypeError(() => functions[name]!(...right.with(index, value)), message);
        refused++;
      }
    }
  }
  assert.ok(refused > 300, `${refused}`);
});

test("the addon reads and writes nothing outside of the arrays it is given", () => {
  const text = new Uint8Array(1);
  const room = new Uint8Array(10);
  const two = new BigInt64Array(2);
  const noText = new TextEncoder().encode("a.db");
  const { buffer } = noText.slice();
  const detached = new Uint8Array(buffer);
  structuredClone(buffer, { transfer: [buffer] });
  const calls: [string, unknown[], number][] = [
    ["sqlite3async_route", [noText], 1],
    ["sqlite3async_route", [new Uint8Array(0)], 1],
    ["sqlite3async_route", [detached], 1],
    ["sqlite3async_status", [noText, room, 10], 1],
    ["sqlite3async_status", [text, room, 11], 2],
    ["sqlite3async_status", [text, room, -1], 2],
    ["sqlite3async_status", [text, room.subarray(5), 6], 2],
    ["sqlite3async_errmsg", [detached, 4], 1],
    ["sqlite3async_flush_begin", [text, two, 2], 2],
    ["sqlite3async_flush_begin", [text, two.subarray(1), 1], 2],
    ["sqlite3async_get", [MAX_DELAY_MS, new BigInt64Array(0)], 2],
    ["sqlite3async_event", [new BigInt64Array(0), room, 10], 1],
  ];
  for (const [name, values, argument] of calls) {
    assertTypeError(() => functions[name]!(...values), new RegExp(`argument ${argument} must`));
  }
  room.fill(7);
  assert.ok(Number(functions.sqlite3async_status!(text, room.subarray(2, 6), 4)) > 4);
  assert.deepEqual([...room.subarray(0, 2), ...room.subarray(5)], [7, 7, 0, 7, 7, 7, 7]);
});

test("the addon's functions are those of the installed VFS, however it is called", () => {
  const before = vfs.maxDelayMs;
  try {
    const value = new BigInt64Array(1);
    for (const wanted of [700n, 701, 2 ** 31 - 1]) {
      assert.equal(functions.sqlite3async_set!(MAX_DELAY_MS, wanted), 0);
      assert.equal(vfs.maxDelayMs, Number(wanted));
      assert.equal(addon.sqlite3async_get(MAX_DELAY_MS, value), 0);
      assert.equal(value[0], BigInt(wanted));
    }
    assert.equal(functions.sqlite3async_set!(MAX_DELAY_MS, 2n ** 63n - 1n), 21); // SQLITE_MISUSE
  } finally {
    vfs.maxDelayMs = before;
  }
  assert.equal(functions.sqlite3async_set!(-(2 ** 31), 0), 1); // SQLITE_ERROR
  assert.equal(typeof addon.sqlite3async_durable(1n << 40n), "bigint");
  assert.equal(addon.sqlite3async_version(), 1000);
});

test("the addon can be loaded again, by whatever path", async () => {
  const again = loadAddon(await locateLibrary(await currentRuntime()));
  assert.notEqual(again.sqlite3async_version, undefined);
  assert.equal(again.sqlite3async_start(), 0); // the VFS is registered
});

test("subscribe() and what it returns refuse what they cannot use", () => {
  for (const wake of [undefined, 1, {}]) {
    assertTypeError(() => addon.subscribe(wake as unknown as () => void), /must be a function/);
  }
  const setInterest = addon.subscribe(() => {});
  for (const interest of [undefined, 3, -1, 0.5, NaN, "1"]) {
    assertTypeError(() => setInterest(interest as number), /interest must be 0, 1 or 2/);
  }
  setInterest(1);
  setInterest(0);
});

test("what is thrown while woken is an uncaught error", async () => {
  const url = (path: string) => new URL(path, import.meta.url).href;
  const { code, stdout, stderr } = await runProgram(`
    import { loadAddon } from "${url("../ffi/addon.ts")}";
    import { locateLibrary } from "${url("../ffi/library.ts")}";
    import { currentRuntime } from "${url("../ffi/runtime.ts")}";
    import { subscribe } from "${url("../ffi/wake.ts")}";
    const vfs = await install();
    const addon = loadAddon(await locateLibrary(await currentRuntime()));
    subscribe(addon, () => {
      console.log("woken");
      throw new Error("thrown while woken");
    })(2);
    const path = process.argv[1] + ".db";
    const connection = open(vfs.uri(path));
    connection.exec("CREATE TABLE t(n)");
    await vfs.flush();
    await sleep(5000);
  `);
  assert.equal(stdout, "woken", stderr);
  assert.notEqual(code, 0);
  assert.match(stderr, /thrown while woken/);
});
