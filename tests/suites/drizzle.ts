// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * Drizzle: over better-sqlite3 in Node, over bun:sqlite in Bun, and in Deno over node:sqlite by
 * Drizzle's proxy.
 *
 * @module
 */
import { drizzleChecks } from "./drizzle_checks.ts";
import { caught, JOURNAL, RUNTIME, Suite } from "./harness.ts";

const PRAGMAS = [`journal_mode = ${JOURNAL}`, "foreign_keys = ON", "busy_timeout = 0"];

const driver = await drivers()[RUNTIME]();

/** Of each: `open` gives a Drizzle and how to close it; `host` a connection for install(). */
function drivers() {
  return {
    async node() {
      const { default: Database } = await import(String("better-sqlite3"));
      const { drizzle } = await import(String("drizzle-orm/better-sqlite3"));
      const { migrate } = await import(String("drizzle-orm/better-sqlite3/migrator"));
      const open = (path, config) => {
        const client = new Database(path);
        for (const pragma of PRAGMAS) client.pragma(pragma);
        return { db: drizzle(client, config), client, close: () => client.close() };
      };
      return { isAsync: false, open, migrate, host: () => new Database(":memory:") };
    },
    async bun() {
      const { Database } = await import(String("bun:sqlite"));
      const { drizzle } = await import(String("drizzle-orm/bun-sqlite"));
      const { migrate } = await import(String("drizzle-orm/bun-sqlite/migrator"));
      const open = (path, config) => {
        const client = new Database(path);
        for (const pragma of PRAGMAS) client.run(`PRAGMA ${pragma}`);
        return { db: drizzle(client, config), client, close: () => client.close() };
      };
      // The statements that Drizzle leaves keep a WAL open until they are collected.
      return { isAsync: false, open, migrate, closes: JOURNAL === "DELETE" };
    },
    async deno() {
      const { DatabaseSync } = await import("node:sqlite");
      const { drizzle } = await import(String("drizzle-orm/sqlite-proxy"));
      const { migrate } = await import(String("drizzle-orm/sqlite-proxy/migrator"));
      const open = (path, config) => {
        const client = new DatabaseSync(path);
        for (const pragma of PRAGMAS) client.exec(`PRAGMA ${pragma}`);
        const execute = (sql, params, method) => {
          const statement = client.prepare(sql);
          if (method === "run") return { rows: [], ...statement.run(...params) };
          statement.setReturnArrays(true);
          return { rows: method === "get" ? statement.get(...params) : statement.all(...params) };
        };
        const db = drizzle(
          (...query) => new Promise((resolve) => resolve(execute(...query))),
          config,
        );
        return { db, client, close: () => client.close() };
      };
      const migrateBy = (db, config) =>
        migrate(db, async (queries) => {
          for (const query of queries) await db.run(query);
        }, config);
      return { isAsync: true, open, migrate: migrateBy };
    },
  };
}

const suite = await Suite.begin({
  host: driver.host,
  databases: ["app.db", "second.db"],
  volatile: ["created_at"],
});
await drizzleChecks(suite, driver);

await suite.check("a statement of the driver's beside those of Drizzle", async () => {
  const { client, close } = driver.open("app.db", {});
  const rows = client.prepare("SELECT count(*) AS n FROM users").all();
  const error = await caught(() => client.prepare("SELECT * FROM nowhere").all());
  await close();
  return [Number(rows[0].n), error.message];
});
await suite.end();
