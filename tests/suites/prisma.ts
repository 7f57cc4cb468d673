// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * Prisma with its adapter for better-sqlite3.
 *
 * @module
 */
import { JOURNAL, Suite } from "./harness.ts";
import { prismaChecks } from "./prisma_checks.ts";

const { PrismaBetterSqlite3 } = await import(String("@prisma/adapter-better-sqlite3"));
const { default: Database } = await import(String("better-sqlite3"));

const suite = await Suite.begin({
  host: () => new Database(":memory:"),
  databases: ["app.db", "second.db"],
  volatile: ["createdAt"],
});
await prismaChecks(suite, {
  adapter: (path) => new PrismaBetterSqlite3({ url: `file:${path}`, timeout: 1 }),
  migrate(path, sql) {
    const connection = new Database(path);
    connection.pragma(`journal_mode = ${JOURNAL}`);
    connection.exec(sql);
    connection.close();
  },
});
await suite.end();
