// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * Kysely: over better-sqlite3 in Node, over node:sqlite in Deno, over bun:sqlite in Bun.
 *
 * @module
 */
import assert from "node:assert/strict";
import { caught, JOURNAL, removeDatabase, RUNTIME, Suite } from "./harness.ts";

const { CompiledQuery, Kysely, sql, SqliteDialect } = await import(String("kysely"));
const { Migrator } = await import(String("kysely/migration"));
const { jsonArrayFrom, jsonObjectFrom } = await import(String("kysely/helpers/sqlite"));
const connect = await connector();

const suite = await Suite.begin({
  host: RUNTIME === "node" ? () => connect(":memory:") : undefined,
  databases: ["app.db", "second.db"],
  volatile: ["timestamp"], // of Kysely's table of migrations
});

/** Opens a connection that looks like one of better-sqlite3. */
async function connector() {
  if (RUNTIME === "node") {
    const { default: Database } = await import(String("better-sqlite3"));
    return (path) => new Database(path, { timeout: 0 });
  }
  if (RUNTIME === "bun") {
    const { Database } = await import(String("bun:sqlite"));
    return (path) => {
      const database = new Database(path);
      return adapted(database, (statement) => statement.columnNames.length > 0);
    };
  }
  const { DatabaseSync } = await import("node:sqlite");
  return (path) => {
    const database = new DatabaseSync(path);
    return adapted(database, (statement) => statement.columns().length > 0);
  };
}

function adapted(database, isReader) {
  const statements = [];
  return {
    close() {
      for (const statement of statements) statement.finalize?.();
      database.close();
    },
    prepare(text) {
      const statement = database.prepare(text);
      statements.push(statement);
      return {
        reader: isReader(statement),
        all: (values) => statement.all(...values),
        run: (values) => statement.run(...values),
        iterate: (values) => statement.iterate(...values),
      };
    },
  };
}

function open(path, pragmas = ["foreign_keys = ON"]) {
  return new Kysely({
    dialect: new SqliteDialect({
      database: () => connect(path),
      onCreateConnection: async (connection) => {
        for (const pragma of [`journal_mode = ${JOURNAL}`, ...pragmas]) {
          await connection.executeQuery(CompiledQuery.raw(`PRAGMA ${pragma}`));
        }
      },
    }),
  });
}

const migrations = {
  "0001_person": {
    up: (db) =>
      db.schema.createTable("person")
        .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
        .addColumn("name", "text", (column) => column.notNull().unique())
        .addColumn("age", "integer", (column) => column.check(sql`age >= 0`))
        .addColumn("extra", "json")
        .execute(),
    down: (db) => db.schema.dropTable("person").execute(),
  },
  "0002_pet": {
    up: async (db) => {
      await db.schema.createTable("pet")
        .addColumn("id", "integer", (column) => column.primaryKey())
        .addColumn(
          "owner_id",
          "integer",
          (column) => column.notNull().references("person.id").onDelete("cascade"),
        )
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("species", "text", (column) => column.defaultTo("cat"))
        .execute();
      await db.schema.createIndex("pet_owner").on("pet").column("owner_id").execute();
    },
    down: async (db) => {
      await db.schema.dropIndex("pet_owner").execute();
      await db.schema.dropTable("pet").execute();
    },
  },
  "0003_counter": {
    up: (db) =>
      db.schema.createTable("counter")
        .addColumn("name", "text", (column) => column.primaryKey())
        .addColumn("value", "integer", (column) => column.notNull().defaultTo(0))
        .execute(),
    down: (db) => db.schema.dropTable("counter").execute(),
  },
};

let db = open("app.db");
const migrator = new Migrator({
  db,
  provider: { getMigrations: () => Promise.resolve(migrations) },
});

async function migrated(step) {
  const { error, results } = await step;
  if (error !== undefined) throw error;
  return results.map(({ migrationName, direction, status }) => [migrationName, direction, status]);
}

const namesOf = async (connection = db) =>
  (await connection.selectFrom("person").select("name").orderBy("id").execute())
    .map(({ name }) => name);

await suite.check("migrations up", () => migrated(migrator.migrateToLatest()));
await suite.checkInUse("app.db");
await suite.check("migrations down, one by one", async () => [
  await migrated(migrator.migrateDown()),
  await migrated(migrator.migrateTo("0001_person")),
]);
await suite.check("a migration that fails leaves nothing", async () => {
  const broken = {
    ...migrations,
    "0004_broken": {
      up: async (db) => {
        await db.schema.createTable("half").addColumn("id", "integer").execute();
        await sql`INSERT INTO nowhere VALUES (1)`.execute(db);
      },
    },
  };
  const getMigrations = () => Promise.resolve(broken);
  const { error } = await new Migrator({ db, provider: { getMigrations } }).migrateToLatest();
  return [String(error.message), (await db.introspection.getTables()).map(({ name }) => name)];
});
await suite.check("migrations up again", () => migrated(migrator.migrateToLatest()));
await suite.check("introspection", async () => {
  const tables = await db.introspection.getTables();
  return tables.map(({ name, columns }) => [name, columns]);
});

await suite.check("insert, returning the rows", () =>
  db.insertInto("person").values([
    { name: "Ada", age: 36, extra: JSON.stringify({ languages: ["en", "fr"], famous: true }) },
    { name: "Bob", age: 40, extra: JSON.stringify({ languages: [] }) },
    { name: "Cy", age: null, extra: null },
  ]).returning(["id", "name"]).execute());
await suite.check("insert, with the counts of the driver", async () => {
  const result = await db.insertInto("pet")
    .values([{ owner_id: 1, name: "Tom" }, { owner_id: 1, name: "Rex", species: "dog" }])
    .executeTakeFirstOrThrow();
  return [String(result.insertId), String(result.numInsertedOrUpdatedRows)];
});
await suite.check(
  "join, group, having",
  () =>
    db.selectFrom("person").leftJoin("pet", "pet.owner_id", "person.id")
      .select(({ fn }) => ["person.name", fn.count("pet.id").as("pets")])
      .groupBy("person.id").orderBy("pets", "desc").orderBy("person.name").execute(),
);
await suite.check("relations as JSON", async () => {
  const rows = await db.selectFrom("person").select((eb) => [
    "name",
    jsonArrayFrom(
      eb.selectFrom("pet").select(["pet.name", "species"])
        .whereRef("pet.owner_id", "=", "person.id").orderBy("pet.id"),
    ).as("pets"),
    jsonObjectFrom(
      eb.selectFrom("pet").select("pet.name").whereRef("pet.owner_id", "=", "person.id").limit(1),
    ).as("first"),
  ]).orderBy("person.id").execute();
  return rows;
});
await suite.check("a JSON column", () =>
  db.selectFrom("person")
    .select(sql`json_extract(extra, '$.languages[1]')`.as("second"))
    .where(sql`json_extract(extra, '$.famous')`, "=", 1).execute());
await suite.check("update and delete, with counts", async () => {
  const updated = await db.updateTable("person").set((eb) => ({ age: eb("age", "+", 1) }))
    .where("age", "is not", null).executeTakeFirst();
  const deleted = await db.deleteFrom("person").where("name", "=", "Cy").executeTakeFirst();
  return [String(updated.numUpdatedRows), String(deleted.numDeletedRows), await namesOf()];
});
await suite.check("upserts", async () => {
  const insert = () => db.insertInto("counter").values({ name: "hits", value: 1 });
  for (let i = 0; i < 50; i++) {
    await insert().onConflict((conflict) =>
      conflict.column("name").doUpdateSet((eb) => ({ value: eb("counter.value", "+", 1) }))
    ).execute();
  }
  await insert().onConflict((conflict) => conflict.doNothing()).execute();
  return await db.selectFrom("counter").selectAll().execute();
});
await suite.check(
  "a value that is not unique is refused",
  () => caught(() => db.insertInto("person").values({ name: "Ada" }).execute()),
);
await suite.check(
  "a foreign key that leads nowhere is refused",
  () => caught(() => db.insertInto("pet").values({ owner_id: 99, name: "x" }).execute()),
);
await suite.check("NULL and a value out of range are refused", async () => [
  await caught(() => db.insertInto("pet").values({ owner_id: 1, name: null }).execute()),
  await caught(() => db.insertInto("person").values({ name: "Dan", age: -1 }).execute()),
]);
await suite.check("ON DELETE CASCADE", async () => {
  const { id } = await db.insertInto("person").values({ name: "Eve" }).returning("id")
    .executeTakeFirstOrThrow();
  await db.insertInto("pet").values({ owner_id: id, name: "Kit" }).execute();
  await db.deleteFrom("person").where("id", "=", id).execute();
  return await db.selectFrom("pet").select("name").orderBy("id").execute();
});

await suite.check("a transaction that commits", async () => {
  const result = await db.transaction().execute(async (trx) => {
    await trx.insertInto("person").values({ name: "Fay" }).execute();
    await trx.insertInto("counter").values({ name: "people", value: 3 }).execute();
    return await namesOf(trx);
  });
  return [result, await namesOf()];
});
await suite.check("a transaction that is rolled back", async () => {
  const error = await caught(() =>
    db.transaction().execute(async (trx) => {
      for (let i = 0; i < 500; i++) {
        await trx.insertInto("person").values({ name: `lost ${i}` }).execute();
      }
      throw new Error("changed my mind");
    })
  );
  return [error, await namesOf()];
});
await suite.check("savepoints", async () => {
  const trx = await db.startTransaction().execute();
  await trx.insertInto("person").values({ name: "Gus" }).execute();
  const first = await trx.savepoint("first").execute();
  await first.insertInto("person").values({ name: "Hal" }).execute();
  const second = await first.savepoint("second").execute();
  await second.insertInto("person").values({ name: "Ivy" }).execute();
  await second.releaseSavepoint("second").execute();
  const inside = await namesOf(trx);
  await first.rollbackToSavepoint("first").execute();
  await trx.commit().execute();
  return [inside, await namesOf()];
});
await suite.check("an error inside a transaction leaves the rest of it alive", async () => {
  const trx = await db.startTransaction().execute();
  await trx.insertInto("person").values({ name: "Jan" }).execute();
  const error = await caught(() => trx.insertInto("person").values({ name: "Jan" }).execute());
  await trx.insertInto("person").values({ name: "Kim" }).execute();
  await trx.commit().execute();
  return [error, await namesOf()];
});
await suite.check("a hundred transactions that are begun at once", async () => {
  await Promise.all(Array.from({ length: 100 }, () =>
    db.transaction().execute(async (trx) => {
      const { value } = await trx.selectFrom("counter").select("value")
        .where("name", "=", "people").executeTakeFirstOrThrow();
      await trx.updateTable("counter").set({ value: value + 1 }).where("name", "=", "people")
        .execute();
    })));
  return await db.selectFrom("counter").selectAll().orderBy("name").execute();
});

await suite.check("a stream of rows", async () => {
  await db.schema.createTable("number").addColumn("n", "integer").addColumn("text", "text")
    .execute();
  for (let part = 0; part < 20; part++) {
    await db.insertInto("number").values(
      Array.from({ length: 100 }, (_, i) => ({ n: part * 100 + i, text: "x".repeat(i) })),
    ).execute();
  }
  let count = 0;
  let sum = 0;
  for await (const { n } of db.selectFrom("number").select("n").orderBy("n").stream()) {
    count++;
    sum += n;
  }
  return [count, sum];
});
await suite.check("a stream that is left early", async () => {
  const seen = [];
  for await (const { n } of db.selectFrom("number").select("n").orderBy("n").stream()) {
    seen.push(n);
    if (seen.length === 3) break;
  }
  await db.insertInto("number").values({ n: -1 }).execute();
  return [seen, await db.selectFrom("number").select(({ fn }) => fn.min("n").as("min")).execute()];
});
await suite.check(
  "a common table expression and a window",
  () =>
    db.with("even", (q) => q.selectFrom("number").select("n").where(sql`n % 2`, "=", 0))
      .selectFrom("even")
      .select(["n", sql`sum(n) OVER (ORDER BY n ROWS 2 PRECEDING)`.as("sum")])
      .orderBy("n", "desc").limit(3).execute(),
);
await suite.check("binary values and big ones", async () => {
  await db.schema.createTable("blob").addColumn("id", "integer", (column) => column.primaryKey())
    .addColumn("data", "blob").execute();
  const data = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 256);
  await db.insertInto("blob").values([{ id: 1, data }, { id: 2, data: new Uint8Array() }])
    .execute();
  const rows = await db.selectFrom("blob").selectAll().orderBy("id").execute();
  assert.deepEqual(new Uint8Array(rows[0].data), data);
  return rows.map((row) => row.data.length);
});
await suite.check("tables are altered", async () => {
  await db.schema.alterTable("pet").addColumn("weight", "real", (c) => c.defaultTo(1.5)).execute();
  await db.schema.alterTable("pet").renameColumn("species", "kind").execute();
  await db.schema.alterTable("pet").dropColumn("weight").execute();
  await db.schema.alterTable("pet").renameTo("animal").execute();
  return await db.selectFrom("animal").selectAll().execute();
});
await suite.check("views and triggers", async () => {
  await db.schema.createView("owner").as(
    db.selectFrom("person").innerJoin("animal", "animal.owner_id", "person.id")
      .select(["person.name as owner", "animal.name as animal"]).orderBy("animal.id"),
  ).execute();
  await sql`CREATE TRIGGER count_people AFTER INSERT ON person BEGIN
    UPDATE counter SET value = value + 1000 WHERE name = 'people'; END`.execute(db);
  await db.insertInto("person").values({ name: "Lea" }).execute();
  return [
    await db.selectFrom("owner").selectAll().execute(),
    await db.selectFrom("counter").selectAll().orderBy("name").execute(),
  ];
});

await suite.check("a second connection sees what is committed, and only that", async () => {
  const other = open("app.db");
  const trx = await db.startTransaction().execute();
  await trx.insertInto("person").values({ name: "Max" }).execute();
  const during = (await namesOf(other)).includes("Max");
  await trx.commit().execute();
  const after = (await namesOf(other)).includes("Max");
  await other.destroy();
  return [during, after];
});
await suite.check("a second writer is told that the database is busy", async () => {
  const other = open("app.db", ["busy_timeout = 0"]);
  const trx = await db.startTransaction().execute();
  await trx.insertInto("person").values({ name: "Ned" }).execute();
  const error = await caught(() => other.insertInto("person").values({ name: "Oz" }).execute());
  await trx.rollback().execute();
  await other.insertInto("person").values({ name: "Oz" }).execute();
  await other.destroy();
  return [error, await namesOf()];
});
await suite.check("a reader in a transaction keeps its snapshot, or the writer waits", async () => {
  const other = open("app.db", ["busy_timeout = 0"]);
  const reader = await other.startTransaction().execute();
  const before = await namesOf(reader);
  let refused = null;
  try {
    await db.insertInto("person").values({ name: "Pia" }).execute();
  } catch (error) {
    refused = error.message;
  }
  const same = (await namesOf(reader)).length === before.length;
  await reader.commit().execute();
  await other.destroy();
  return [refused, same, await namesOf()];
});
await suite.check("VACUUM and ANALYZE", async () => {
  await db.deleteFrom("number").where("n", ">", 100).execute();
  for (const text of ["VACUUM", "ANALYZE"]) await sql.raw(text).execute(db);
  return (await sql`PRAGMA page_count`.execute(db)).rows;
});
await suite.check("it is destroyed and opened again", async () => {
  await db.destroy();
  db = open("app.db");
  return [await namesOf(), (await sql`PRAGMA journal_mode`.execute(db)).rows];
});
await suite.check("two databases, side by side", async () => {
  const second = open("second.db");
  await sql`CREATE TABLE t(x INTEGER)`.execute(second);
  for (let i = 0; i < 100; i++) {
    await db.insertInto("counter").values({ name: `n${i}`, value: i }).execute();
    await sql`INSERT INTO t VALUES (${i})`.execute(second);
  }
  const { rows } = await sql`SELECT count(*) AS n, sum(x) AS sum FROM t`.execute(second);
  await second.destroy();
  return rows;
});
await db.destroy();

await suite.checkFiles({
  async fill(path, count) {
    const db = open(path);
    await db.schema.createTable("line").ifNotExists().addColumn("text", "text").execute();
    for (let i = 0; i < count; i++) {
      await db.insertInto("line").values({ text: `line ${i}` }).execute();
    }
    await db.destroy();
  },
  async count(path) {
    const db = open(path);
    const { n } = await db.selectFrom("line").select(({ fn }) => fn.countAll().as("n"))
      .executeTakeFirstOrThrow();
    await db.destroy();
    return n;
  },
});
await suite.check("a database is deleted while none has it open", async () => {
  removeDatabase("second.db");
  const second = open("second.db");
  await sql`CREATE TABLE fresh(x)`.execute(second);
  const { rows } = await sql`SELECT name FROM sqlite_schema`.execute(second);
  await second.destroy();
  return rows;
});
await suite.end();
