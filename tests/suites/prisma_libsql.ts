// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * Prisma with its adapter for libsql.
 *
 * @module
 */
import { JOURNAL, Suite } from "./harness.ts";
import { prismaChecks } from "./prisma_checks.ts";

const { PrismaLibSql } = await import(String("@prisma/adapter-libsql"));
const { default: Database } = await import(String("libsql"));

const suite = await Suite.begin({
  host: () => new Database(":memory:"),
  databases: ["app.db", "second.db"],
  // Prisma leaves the connection of a transaction open, and a database in WAL mode that one process
  // has open through the VFS is locked for others.
  staysOpen: JOURNAL === "WAL" ? ["app.db"] : [],
  volatile: ["createdAt"],
});
await prismaChecks(suite, {
  adapter: (path) => new PrismaLibSql({ url: `file:${path}` }),
  big: 9_007_199_254_740_991n, // its integers are numbers
  closes: JOURNAL === "DELETE", // with a WAL not before its statements are collected
  migrate(path, sql) {
    const connection = new Database(path);
    connection.exec(`PRAGMA journal_mode = ${JOURNAL}`);
    connection.exec(sql);
    connection.close();
  },
});
await suite.end();
