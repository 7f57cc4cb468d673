/**
 * Drivers whose `close()` does not close.
 *
 * bun:sqlite and libsql keep a connection for as long as statements of it have not been collected,
 * and SQLite hears of the end only then. Until then its files stay open, and a database in WAL mode
 * stays locked for other processes. So closing a connection of these drivers also tells the VFS.
 *
 * @module
 */

/** A class of connections, as far as closing them needs it. */
export interface Connections {
  close(...parameters: unknown[]): unknown;
  /** Runs SQL. */
  exec?(sql: string): unknown;
}

const announced = Symbol.for("sqlite3async.announcesClose");

/**
 * Have connections of a driver tell the VFS when the program closes them.
 *
 * @param prototype The driver's class of connections. Each is changed once.
 * @param released Called after a connection was closed.
 */
export function announceClose(prototype: Connections, released: () => void): void {
  const { close } = prototype;
  if (typeof close !== "function" || announced in close) return;
  const announcing = function (this: Connections, ...parameters: unknown[]): unknown {
    // One that shall throw may stay open, and be used.
    const throws = parameters[0] === true;
    if (!throws) announce(this);
    const result = close.apply(this, parameters);
    if (!throws) released();
    return result;
  };
  Object.defineProperty(announcing, announced, { value: true });
  prototype.close = announcing;
}

function announce(connection: Connections): void {
  try {
    connection.exec?.("PRAGMA async_closing");
  } catch {
    // It is closed already, which its own close() deals with.
  }
}
