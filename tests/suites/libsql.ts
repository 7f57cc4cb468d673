// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * The client of libsql, whose SQLite is its own: alone and under Drizzle.
 *
 * @module
 */
import { drizzleChecks } from "./drizzle_checks.ts";
import { caught, JOURNAL, Suite } from "./harness.ts";

const { createClient } = await import(String("@libsql/client"));
const { drizzle } = await import(String("drizzle-orm/libsql"));
const { migrate } = await import(String("drizzle-orm/libsql/migrator"));
const { default: Database } = await import(String("libsql"));

const suite = await Suite.begin({
  host: () => new Database(":memory:"),
  databases: ["app.db", "second.db", "client.db"],
  volatile: ["created_at"],
});

async function openClient(path) {
  const client = createClient({ url: `file:${path}` });
  await client.execute(`PRAGMA journal_mode = ${JOURNAL}`);
  return client;
}

const client = await openClient("client.db");
await suite.check("a batch", async () => {
  const results = await client.batch([
    "CREATE TABLE account(name TEXT PRIMARY KEY, cents INTEGER CHECK(cents >= 0))",
    { sql: "INSERT INTO account VALUES (?, ?), ('Bob', 0)", args: ["Ada", 500] },
    "SELECT * FROM account ORDER BY name",
  ], "write");
  return results.map(({ rows, rowsAffected }) => [rows, rowsAffected]);
});
await suite.checkInUse("client.db");
await suite.check("a batch of which a statement fails leaves nothing", async () => [
  await caught(() =>
    client.batch([
      "UPDATE account SET cents = cents + 600 WHERE name = 'Bob'",
      "UPDATE account SET cents = cents - 600 WHERE name = 'Ada'",
    ], "write")
  ),
  (await client.execute("SELECT * FROM account ORDER BY name")).rows,
]);
await suite.check("a transaction of the client's", async () => {
  const transaction = await client.transaction("write");
  await transaction.execute("UPDATE account SET cents = cents - 100 WHERE name = 'Ada'");
  await transaction.execute("UPDATE account SET cents = cents + 100 WHERE name = 'Bob'");
  await transaction.commit();
  return (await client.execute("SELECT * FROM account ORDER BY name")).rows;
});
await suite.check("a transaction that is closed without a commit", async () => {
  const transaction = await client.transaction("write");
  await transaction.execute("DELETE FROM account");
  transaction.close();
  return (await client.execute("SELECT * FROM account ORDER BY name")).rows;
});
await suite.check("executeMultiple and migrate", async () => {
  await client.executeMultiple("CREATE TABLE a(x); CREATE TABLE b(y); INSERT INTO a VALUES (1)");
  await client.migrate(["ALTER TABLE a ADD COLUMN z DEFAULT 7", "DROP TABLE b"]);
  return (await client.execute("SELECT * FROM a")).rows;
});
client.close();

await drizzleChecks(suite, {
  isAsync: true,
  // A statement that was refused keeps the connection's next commit from coming to its end.
  resetsBusy: false,
  closes: JOURNAL === "DELETE", // with a WAL not before its statements are collected
  migrate,
  host: () => new Database(":memory:"),
  async open(path, config) {
    const client = await openClient(path);
    await client.execute("PRAGMA foreign_keys = ON");
    return { db: drizzle(client, config), client, close: () => client.close() };
  },
});
await suite.end();
