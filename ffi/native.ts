/**
 * The library's functions with JavaScript's types: strings, numbers, parsed
 * JSON and {@linkcode AsyncVfsError} instead of buffers and result codes.
 *
 * @module
 */
import { nameOf } from "./codes.ts";
import { AsyncVfsError, misuse } from "./errors.ts";
import type { NativeFunctions } from "./symbols.ts";

const SQLITE_OK = 0;
const SQLITE_MISUSE = 21;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const emptyText = encoder.encode("\0");

type Bytes = Uint8Array<ArrayBuffer>;

/** What an operation was about, for the error that it may end in. */
interface Subject {
  operation: string;
  path?: string | undefined;
}

/** A text as C wants it. Absent becomes "", which the library takes for NULL. */
function cString(text: string | undefined, subject: Subject): Bytes {
  if (text === undefined) return emptyText;
  if (text.includes("\0")) {
    const message = `Cannot ${subject.operation} ${
      JSON.stringify(text)
    }: it contains a NUL character`;
    throw misuse(subject.operation, message, text);
  }
  return encoder.encode(`${text}\0`);
}

/** A position in a database's stream of writes that somebody waits for. */
export interface Ticket {
  stream: bigint;
  position: number;
}

/** The native library. */
export class Native {
  readonly #functions: NativeFunctions;
  /** Reused by all calls: none of them is suspended while it uses one. */
  #text: Bytes = new Uint8Array(4096);
  #pairs: BigInt64Array<ArrayBuffer> = new BigInt64Array(2 * 16);
  readonly #integer: BigInt64Array<ArrayBuffer> = new BigInt64Array(1);
  #hasDrained = false;

  constructor(functions: NativeFunctions) {
    this.#functions = functions;
  }

  prepare(parent: string, makeDefault: boolean): void {
    const subject = { operation: "install" };
    const name = cString(parent, subject);
    this.#check(this.#functions.sqlite3async_prepare(name, makeDefault ? 1 : 0), subject);
  }

  /** Does SQLite have the VFS? Whoever closes it takes it from all threads. */
  isRegistered(): boolean {
    return this.#functions.sqlite3async_is_open(emptyText) !== -SQLITE_MISUSE;
  }

  set(verb: number, value: number, operation: string): void {
    this.#check(this.#functions.sqlite3async_set(verb, BigInt(value)), { operation });
  }

  get(verb: number, operation: string): number {
    this.#check(this.#functions.sqlite3async_get(verb, this.#integer), { operation });
    return Number(this.#integer[0]);
  }

  start(): void {
    this.#check(this.#functions.sqlite3async_start(), { operation: "start" });
  }

  stop(timeoutMs: number): void {
    this.#check(this.#functions.sqlite3async_stop(timeoutMs), { operation: "stop" });
  }

  /** As at exit. What it leaves, or is queued after it, is written and told by the drain then. */
  drain(): void {
    this.#functions.sqlite3async_drain();
    this.#hasDrained = true;
  }

  /** The same where nothing follows that would tell what it leaves: that is an error. */
  drainNow(): void {
    this.#check(this.#functions.sqlite3async_drain(), { operation: "drain" });
  }

  /** The process is ending: closing a database has the deadline of the drain at exit. */
  ending(): void {
    this.#functions.sqlite3async_ending();
  }

  close(timeoutMs: number): void {
    this.#check(this.#functions.sqlite3async_close(timeoutMs), { operation: "close" });
  }

  releaseClosed(): void {
    this.#check(this.#functions.sqlite3async_release_closed(), { operation: "close" });
  }

  closeByForce(timeoutMs: number): void {
    this.#check(this.#functions.sqlite3async_close_by_force(timeoutMs), { operation: "close" });
  }

  route(path: string): void {
    const subject = { operation: "route", path };
    this.#check(this.#functions.sqlite3async_route(cString(path, subject)), subject);
  }

  unroute(path: string): void {
    const subject = { operation: "unroute", path };
    this.#check(this.#functions.sqlite3async_unroute(cString(path, subject)), subject);
  }

  /** Leave what lies below a folder to plain SQLite though the VFS is the default. */
  exclude(path: string): void {
    const subject = { operation: "install", path };
    this.#check(this.#functions.sqlite3async_exclude(cString(path, subject)), subject);
  }

  flush(path: string | undefined, timeoutMs: number): void {
    const subject = { operation: "flushSync", path };
    if (this.#hasDrained) this.start(); // called by a later listener of the process's end
    const rc = this.#functions.sqlite3async_flush(cString(path, subject), timeoutMs);
    this.#check(rc, subject);
  }

  release(path: string, timeoutMs: number): void {
    const subject = { operation: "release", path };
    this.#check(this.#functions.sqlite3async_release(cString(path, subject), timeoutMs), subject);
  }

  /** Ask for a sync of a database, or of all. Returns what is to be waited for. */
  flushBegin(path: string | undefined): Ticket[] {
    const subject = { operation: "flush", path };
    const name = cString(path, subject);
    for (;;) {
      const room = this.#pairs.length / 2;
      const count = this.#functions.sqlite3async_flush_begin(name, this.#pairs, room);
      if (count < 0) this.#check(-count, subject);
      if (count <= room) return this.#tickets(count);
      this.#pairs = new BigInt64Array(2 * count);
    }
  }

  #tickets(count: number): Ticket[] {
    return Array.from({ length: count }, (_, index) => ({
      stream: this.#pairs[2 * index]!,
      position: Number(this.#pairs[2 * index + 1]),
    }));
  }

  /**
   * How far a stream is durable. Negative: its error's code. A position fits a
   * number exactly; the mark of a stream that was closed is merely very large.
   */
  durable(stream: bigint): number {
    return Number(this.#functions.sqlite3async_durable(stream));
  }

  /** The status as parsed JSON. */
  status(path: string | undefined): unknown {
    const subject = { operation: "status", path };
    const name = cString(path, subject);
    const call = (buffer: Bytes) => {
      return this.#functions.sqlite3async_status(name, buffer, buffer.length);
    };
    const length = this.#readText(call);
    if (length < 0) this.#check(-length, subject);
    return JSON.parse(this.#decode(length));
  }

  /** The status of each database that is open, with its path, as parsed JSON. */
  databases(): unknown {
    const call = (buffer: Bytes) => {
      return this.#functions.sqlite3async_databases(buffer, buffer.length);
    };
    const length = this.#readText(call);
    if (length < 0) this.#check(-length, { operation: "databases" });
    return JSON.parse(this.#decode(length));
  }

  /** Has a connection the database open through the VFS, or any database if no path is given? */
  isOpen(path: string | undefined, operation: string): boolean {
    const subject = { operation, path };
    const result = this.#functions.sqlite3async_is_open(cString(path, subject));
    if (result < 0) this.#check(-result, subject);
    return result > 0;
  }

  /** The mark behind all events there have been. */
  eventCursor(): BigInt64Array<ArrayBuffer> {
    const cursor = new BigInt64Array(1);
    while (this.nextEvent(cursor) !== undefined) { /* at most the 64 that are kept */ }
    return cursor;
  }

  /** The next event as parsed JSON, or undefined if there is none. Moves the cursor past it. */
  nextEvent(cursor: BigInt64Array<ArrayBuffer>): unknown {
    const call = (buffer: Bytes) => {
      return this.#functions.sqlite3async_event(cursor, buffer, buffer.length);
    };
    const length = this.#readText(call);
    return length > 0 ? JSON.parse(this.#decode(length)) : undefined;
  }

  /** Run a function that writes a text and returns its length; again if it had too little room. */
  #readText(call: (buffer: Bytes) => number): number {
    let length = call(this.#text);
    while (length >= this.#text.length) {
      this.#text = new Uint8Array(2 * length);
      length = call(this.#text);
    }
    return length;
  }

  #decode(length: number): string {
    return decoder.decode(this.#text.subarray(0, length));
  }

  #check(rc: number, subject: Subject): void {
    if (rc !== SQLITE_OK) throw this.#failure(rc, subject);
  }

  /** The error for a call that just failed on this thread. */
  #failure(code: number, subject: Subject): AsyncVfsError {
    const length = this.#functions.sqlite3async_errmsg(this.#text, this.#text.length);
    const about = subject.path === undefined ? "" : ` "${subject.path}"`;
    const message = length > 0
      ? this.#decode(length)
      : `Cannot ${subject.operation}${about}: ${nameOf(code)}`;
    return new AsyncVfsError(message, { code, path: subject.path, operation: subject.operation });
  }
}
