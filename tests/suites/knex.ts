// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * Knex over better-sqlite3, with pools of one connection and of several.
 *
 * @module
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { caught, JOURNAL, removeDatabase, Suite } from "./harness.ts";

const { default: knex } = await import(String("knex"));
const { default: Database } = await import(String("better-sqlite3"));

const suite = await Suite.begin({
  host: () => new Database(":memory:"),
  databases: ["app.db", "pool.db", "reset.db"],
  volatile: ["migration_time", "created_at", "updated_at"],
});

function open(filename, pool = {}) {
  return knex({
    client: "better-sqlite3",
    connection: { filename },
    useNullAsDefault: true,
    pool: {
      min: 1,
      max: 1,
      ...pool,
      afterCreate(connection, done) {
        connection.pragma(`journal_mode = ${JOURNAL}`);
        connection.pragma("foreign_keys = ON");
        connection.pragma("busy_timeout = 0");
        done(null, connection);
      },
    },
  });
}

/** Migrations that are kept in the program. */
class Migrations {
  steps = {
    "001_users": {
      up: (db) =>
        db.schema.createTable("users", (table) => {
          table.increments("id");
          table.string("email", 100).notNullable().unique();
          table.integer("age").unsigned();
          table.json("settings");
          table.boolean("active").defaultTo(true);
          table.timestamps(true, true);
        }),
      down: (db) => db.schema.dropTable("users"),
    },
    "002_posts": {
      up: async (db) => {
        await db.schema.createTable("posts", (table) => {
          table.increments("id");
          table.integer("user_id").notNullable().references("users.id").onDelete("CASCADE");
          table.string("title").notNullable();
          table.integer("votes").notNullable().defaultTo(0);
          table.index(["user_id", "title"]);
        });
        await db.schema.createTable("tags", (table) => {
          table.string("name").primary();
        });
        await db.schema.createTable("posts_tags", (table) => {
          table.integer("post_id").references("posts.id").onDelete("CASCADE");
          table.string("tag").references("tags.name");
          table.primary(["post_id", "tag"]);
        });
      },
      down: async (db) => {
        for (const table of ["posts_tags", "tags", "posts"]) await db.schema.dropTable(table);
      },
    },
  };
  getMigrations = () => Promise.resolve(Object.keys(this.steps));
  getMigrationName = (name) => name;
  getMigration = (name) => Promise.resolve(this.steps[name]);
}

let db = open("app.db");
const migrationSource = new Migrations();
const tables = async () =>
  (await db("sqlite_schema").select("name").where("type", "table").orderBy("name"))
    .map(({ name }) => name);
const emails = (query = db) => query("users").orderBy("id").pluck("email");

await suite.check("migrations up", async () => [
  await db.migrate.latest({ migrationSource }),
  await tables(),
]);
await suite.checkInUse("app.db");
await suite.check("migrations are rolled back", async () => [
  await db.migrate.rollback({ migrationSource }),
  await tables(),
]);
await suite.check("migrations one by one", async () => [
  await db.migrate.up({ migrationSource }),
  await db.migrate.up({ migrationSource }),
  await db.migrate.down({ migrationSource }),
  await db.migrate.up({ migrationSource }),
  await db.migrate.currentVersion(),
]);
await suite.check("a migration that fails is rolled back and leaves the lock free", async () => {
  const source = new Migrations();
  source.steps["003_broken"] = {
    up: async (db) => {
      await db.schema.createTable("half", (table) => table.increments());
      await db.raw("INSERT INTO nowhere VALUES (1)");
    },
    down: () => {},
  };
  const { message } = await caught(() => db.migrate.latest({ migrationSource: source }));
  return [message, await tables(), await db("knex_migrations_lock").pluck("is_locked")];
});
await suite.check("seeds", async () => {
  mkdirSync("seeds");
  writeFileSync(
    "seeds/tags.cjs",
    `exports.seed = async (db) => {
      await db("tags").del();
      await db("tags").insert([{ name: "new" }, { name: "old" }]);
    };`,
  );
  await db.seed.run({ directory: "./seeds", loadExtensions: [".cjs"] });
  return await db("tags").orderBy("name");
});
await suite.check("what the schema has", async () => [
  await db.schema.hasTable("users"),
  await db.schema.hasColumn("users", "nothing"),
  Object.keys(await db("users").columnInfo()),
]);

await suite.check("insert, returning", () =>
  db("users").insert([
    { email: "ada@example.org", age: 36, settings: JSON.stringify({ theme: { dark: true } }) },
    { email: "bob@example.org", age: 40 },
    { email: "cy@example.org" },
  ]).returning(["id", "email", "active"]));
await suite.check("insert in batches", async () => {
  const rows = Array.from({ length: 1_000 }, (_, i) => ({
    user_id: i % 3 + 1,
    title: `post ${i}`,
    votes: i,
  }));
  await db.batchInsert("posts", rows, 100);
  return await db("posts").count({ n: "*" }).sum({ votes: "votes" }).first();
});
await suite.check(
  "join, group, order, page",
  () =>
    db("users").join("posts", "posts.user_id", "users.id").select("email")
      .max({ best: "votes" }).groupBy("users.id").having("best", ">", 0).orderBy("best", "desc")
      .limit(2).offset(1),
);
await suite.check("subqueries and unions", async () => [
  await db("users").whereIn("id", db("posts").select("user_id").where("votes", ">", 997))
    .pluck("email"),
  await db("users").select("email as name").where("id", 1)
    .union(db("tags").select("name")).orderBy("name"),
]);
await suite.check("WITH, recursive, and windows", async () => [
  await db.withRecursive("n", ["i"], db.raw("SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5"))
    .from("n").pluck("i"),
  await db("posts").select("id").rowNumber("place", (over) => over.orderBy("votes", "desc"))
    .limit(2),
]);
await suite.check("a JSON column", async () => {
  const [dark] = await db("users").jsonExtract("settings", "$.theme.dark", "dark").where("id", 1);
  await db("users").where("id", 1)
    .update("settings", db.jsonSet("settings", "$.theme.size", 12));
  return [dark, await db("users").where("id", 1).pluck("settings")];
});
await suite.check("update, increment and delete, with counts", async () => [
  await db("users").where("age", ">", 30).update({ active: false }),
  await db("posts").where("user_id", 1).increment("votes", 5),
  await db("posts").where("user_id", 3).del(),
  await db("posts").sum({ votes: "votes" }).first(),
]);
await suite.check("upserts", async () => {
  await db("tags").insert({ name: "new" }).onConflict("name").ignore();
  for (let i = 0; i < 30; i++) {
    await db("posts").insert({ id: 1, user_id: 1, title: "first", votes: 1 })
      .onConflict("id").merge({ votes: db.raw("posts.votes + 1") });
  }
  return [await db("tags").orderBy("name"), await db("posts").where("id", 1)];
});
await suite.check("many to many", async () => {
  await db("posts_tags").insert([{ post_id: 1, tag: "new" }, { post_id: 1, tag: "old" }]);
  return await db("posts").join("posts_tags", "post_id", "posts.id").where("posts.id", 1)
    .orderBy("tag").select("title", "tag");
});
await suite.check(
  "a value that is not unique is refused",
  () => caught(() => db("users").insert({ email: "ada@example.org" })),
);
await suite.check(
  "a second primary key is refused",
  () => caught(() => db("posts_tags").insert({ post_id: 1, tag: "new" })),
);
await suite.check("a foreign key that leads nowhere is refused", async () => [
  await caught(() => db("posts").insert({ user_id: 99, title: "x" })),
  await caught(() => db("tags").where("name", "new").del()),
]);
await suite.check("NULL is refused, and a table that is not there", async () => [
  await caught(() => db("users").insert({ email: null })),
  await caught(() => db("nowhere").select()),
]);

await suite.check("a transaction that commits", async () => {
  const result = await db.transaction(async (trx) => {
    await trx("users").insert({ email: "dan@example.org" });
    return await emails(trx);
  });
  return [result, await emails()];
});
await suite.check("a transaction that is rolled back", async () => {
  const error = await caught(() =>
    db.transaction(async (trx) => {
      await trx("posts").del();
      await trx("users").insert({ email: "lost@example.org" });
      throw new Error("changed my mind");
    })
  );
  return [error, await emails(), await db("posts").count({ n: "*" }).first()];
});
await suite.check("transactions in transactions are savepoints", async () => {
  await db.transaction(async (outer) => {
    await outer("users").insert({ email: "eve@example.org" });
    await outer.transaction(async (inner) => {
      await inner("users").insert({ email: "fay@example.org" });
      await inner.transaction(async (third) => {
        await third("users").insert({ email: "lost@example.org" });
        throw new Error("changed my mind");
      }).catch(() => {});
    });
    await outer.transaction(async (inner) => {
      await inner("users").insert({ email: "lost@example.org" });
      await inner.rollback();
    }).catch(() => {});
  });
  return await emails();
});
await suite.check("a transaction that was handed out", async () => {
  const trx = await db.transaction();
  await trx("users").insert({ email: "gus@example.org" });
  const refused = await caught(() => trx("users").insert({ email: "gus@example.org" }));
  await trx.commit();
  return [refused.code, trx.isCompleted(), (await emails()).length];
});
await suite.check("sixty transactions that are begun at once", async () => {
  await Promise.all(Array.from({ length: 60 }, () =>
    db.transaction(async (trx) => {
      const { votes } = await trx("posts").where("id", 2).first("votes");
      await trx("posts").where("id", 2).update({ votes: votes + 1 });
    })));
  return await db("posts").where("id", 2).pluck("votes");
});

await suite.check("a stream of rows", async () => {
  let count = 0;
  let votes = 0;
  await pipeline(
    db("posts").select("votes").orderBy("id").stream(),
    new Writable({
      objectMode: true,
      write(row, _encoding, done) {
        count++;
        votes += row.votes;
        done();
      },
    }),
  );
  return [count, votes];
});
await suite.check("rows one by one", async () => {
  const seen = [];
  for await (const { id } of db("posts").select("id").orderBy("id").limit(5).stream()) {
    seen.push(id);
  }
  return seen;
});
await suite.check("events of queries", async () => {
  const query = db("tags").orderBy("name");
  const event = once(query, "query-response");
  await query;
  return (await event)[0];
});
await suite.check("tables are altered", async () => {
  await db.schema.alterTable("posts", (table) => {
    table.string("slug").defaultTo("none");
    table.renameColumn("votes", "points");
  });
  await db.schema.alterTable("posts", (table) => table.string("title", 50).nullable().alter());
  await db.schema.alterTable("posts", (table) => table.dropColumn("slug"));
  await db.schema.renameTable("posts", "articles");
  return [Object.keys(await db("articles").columnInfo()), await db("articles").where("id", 1)];
});
await suite.check("views", async () => {
  await db.schema.createView("popular", (view) => {
    view.columns(["id", "points"]);
    view.as(db("articles").select("id", "points").where("points", ">", 990));
  });
  return await db("popular").orderBy("id");
});
await suite.check("binary values", async () => {
  await db.schema.createTable("files", (table) => {
    table.string("name").primary();
    table.binary("data");
  });
  const data = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7) % 256));
  await db("files").insert({ name: "big", data });
  const [row] = await db("files").where("name", "big");
  assert.ok(data.equals(row.data));
  return row.data.length;
});
await suite.check("it is destroyed and opened again", async () => {
  await db.destroy();
  const refused = await caught(() => db("users").first());
  db = open("app.db");
  return [refused.message, (await emails()).length, await db.raw("PRAGMA journal_mode")];
});
await db.destroy();

const pool = open("pool.db", { min: 2, max: 4 });
await suite.check("a pool whose connections all see each commit", async () => {
  await pool.schema.createTable("counter", (table) => {
    table.string("name").primary();
    table.integer("value").notNullable();
  });
  await pool("counter").insert({ name: "a", value: 0 });
  const seen = [];
  for (let i = 1; i <= 50; i++) {
    await pool("counter").where("name", "a").update({ value: i });
    const values = await Promise.all([1, 2, 3].map(() => pool("counter").pluck("value")));
    seen.push(values.every(([value]) => value === i));
  }
  return seen.filter(Boolean).length;
});
await suite.check("a pool with a reader beside an open transaction", async () => {
  const trx = await pool.transaction();
  await trx("counter").insert({ name: "b", value: 1 });
  const during = await pool("counter").pluck("name");
  await trx.commit();
  return [during, await pool("counter").orderBy("name").pluck("name")];
});
await suite.check("a pool with two writers: the second is told that it is busy", async () => {
  const trx = await pool.transaction();
  await trx("counter").where("name", "a").update({ value: -1 });
  const error = await caught(() => pool("counter").where("name", "b").update({ value: -1 }));
  await trx.rollback();
  await pool("counter").where("name", "b").update({ value: 2 });
  return [error, await pool("counter").orderBy("name")];
});
await suite.check("a pool whose transactions try again when they are busy", async () => {
  async function add() {
    for (;;) {
      try {
        return await pool.transaction(async (trx) => {
          await trx("counter").where("name", "a").increment("value", 1);
        });
      } catch (error) {
        if (!error.code?.startsWith("SQLITE_BUSY")) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
  }
  await Promise.all(Array.from({ length: 40 }, add));
  return await pool("counter").orderBy("name");
});
await pool.destroy();

await suite.checkFiles({
  async fill(path, count) {
    const db = open(path);
    if (!await db.schema.hasTable("line")) {
      await db.schema.createTable("line", (table) => table.string("text"));
    }
    for (let i = 0; i < count; i++) await db("line").insert({ text: `line ${i}` });
    await db.destroy();
  },
  async count(path) {
    const db = open(path);
    const { n } = await db("line").count({ n: "*" }).first();
    await db.destroy();
    return n;
  },
});
await suite.check("reset between tests: destroy, delete, migrate", async () => {
  const counts = [];
  for (let round = 0; round < 5; round++) {
    removeDatabase("reset.db");
    const db = open("reset.db");
    await db.migrate.latest({ migrationSource });
    await db("users").insert({ email: `${round}@example.org` });
    counts.push(await db("users").pluck("email"));
    await db.destroy();
  }
  return counts;
});
await suite.end();
