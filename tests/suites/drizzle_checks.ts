// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * The flows of Drizzle, over any of its drivers for SQLite.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { caught, removeDatabase } from "./harness.ts";

const drizzleOrm = await import(String("drizzle-orm"));
const { and, asc, count, desc, eq, exists, gt, inArray, lt, max, or, relations, sql, sum } =
  drizzleOrm;
const core = await import(String("drizzle-orm/sqlite-core"));
const { alias, blob, index, integer, primaryKey, real, sqliteTable, text, union } = core;

const users = sqliteTable("users", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  email: text("email").notNull().unique(),
  role: text("role", { enum: ["admin", "user"] }).notNull().default("user"),
  settings: text("settings", { mode: "json" }),
  invitedBy: integer("invited_by"),
  active: integer("active", { mode: "boolean" }).notNull().default(true),
  createdAt: integer("created_at", { mode: "timestamp" }).default(sql`(unixepoch())`),
});
const posts = sqliteTable("posts", {
  id: integer("id").primaryKey(),
  authorId: integer("author_id").notNull().references(() => users.id, { onDelete: "cascade" }),
  title: text("title").notNull(),
  score: real("score").notNull().default(0),
}, (table) => [index("posts_author").on(table.authorId)]);
const labels = sqliteTable("labels", { name: text("name").primaryKey() });
const postLabels = sqliteTable("post_labels", {
  postId: integer("post_id").notNull().references(() => posts.id),
  label: text("label").notNull().references(() => labels.name),
}, (table) => [primaryKey({ columns: [table.postId, table.label] })]);
const files = sqliteTable("files", {
  name: text("name").primaryKey(),
  data: blob("data", { mode: "buffer" }),
});
const schema = {
  ...{ users, posts, labels, postLabels },
  usersRelations: relations(users, ({ one, many }) => ({
    posts: many(posts),
    inviter: one(users, { fields: [users.invitedBy], references: [users.id] }),
  })),
  postsRelations: relations(posts, ({ one, many }) => ({
    author: one(users, { fields: [posts.authorId], references: [users.id] }),
    labels: many(postLabels),
  })),
  postLabelsRelations: relations(postLabels, ({ one }) => ({
    post: one(posts, { fields: [postLabels.postId], references: [posts.id] }),
  })),
};

const MIGRATIONS = [
  ["0000_first", [
    `CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE,
      role TEXT NOT NULL DEFAULT 'user', settings TEXT, invited_by INTEGER,
      active INTEGER NOT NULL DEFAULT 1, created_at INTEGER DEFAULT (unixepoch()))`,
    `CREATE TABLE posts(id INTEGER PRIMARY KEY,
      author_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
      title TEXT NOT NULL, score REAL NOT NULL DEFAULT 0)`,
    "CREATE INDEX posts_author ON posts(author_id)",
  ]],
  ["0001_labels", [
    "CREATE TABLE labels(name TEXT PRIMARY KEY)",
    `CREATE TABLE post_labels(post_id INTEGER NOT NULL REFERENCES posts(id),
      label TEXT NOT NULL REFERENCES labels(name), PRIMARY KEY(post_id, label))`,
  ]],
  ["0002_files", ["CREATE TABLE files(name TEXT PRIMARY KEY, data BLOB)"]],
];

/** The folder that drizzle-kit makes of these migrations. */
function writeMigrations(folder, migrations) {
  mkdirSync(`${folder}/meta`, { recursive: true });
  const entries = migrations.map(([tag, statements], idx) => {
    writeFileSync(`${folder}/${tag}.sql`, statements.join(";\n--> statement-breakpoint\n"));
    return { idx, version: "6", when: idx + 1, tag, breakpoints: true };
  });
  writeFileSync(
    `${folder}/meta/_journal.json`,
    JSON.stringify({ version: "7", dialect: "sqlite", entries }),
  );
  return { migrationsFolder: folder };
}

/** Make the checks, with databases "app.db" and "second.db". */
export async function drizzleChecks(suite, driver) {
  const { open, migrate, isAsync, closes = true, resetsBusy = true } = driver;
  let { db, close } = await open("app.db", { schema });

  /** A transaction whose work yields its queries, since some drivers want it synchronous. */
  async function transaction(db, work, config) {
    if (isAsync) {
      return await db.transaction(async (tx) => {
        const steps = work(tx);
        let step = steps.next();
        while (!step.done) {
          let result;
          try {
            result = await (step.value.all?.() ?? step.value());
          } catch (error) {
            step = steps.throw(error);
            continue;
          }
          step = steps.next(result);
        }
        return step.value;
      }, config);
    }
    return db.transaction((tx) => {
      const steps = work(tx);
      let step = steps.next();
      while (!step.done) {
        let result;
        try {
          result = step.value.all?.() ?? step.value();
        } catch (error) {
          step = steps.throw(error);
          continue;
        }
        step = steps.next(result);
      }
      return step.value;
    }, config);
  }
  const emails = async (on = db) =>
    (await on.select({ email: users.email }).from(users).orderBy(users.id).all())
      .map(({ email }) => email);

  await suite.check("migrations", async () => {
    await migrate(db, writeMigrations("first", MIGRATIONS.slice(0, 2)));
    await migrate(db, writeMigrations("second", MIGRATIONS));
    await migrate(db, { migrationsFolder: "second" });
    return await db.all(sql`SELECT name FROM sqlite_schema ORDER BY name`);
  });
  await suite.checkInUse("app.db");
  await suite.check("a migration that fails", async () => {
    const config = writeMigrations("broken", [
      ...MIGRATIONS,
      ["0003_broken", ["CREATE TABLE half(x)", "INSERT INTO nowhere VALUES (1)"]],
    ]);
    const { message } = await caught(() => migrate(db, config));
    await db.run(sql`DROP TABLE IF EXISTS half`); // some drivers have no transaction there
    return message;
  });
  await suite.check("insert, returning", () =>
    db.insert(users).values([
      { email: "ada@example.org", role: "admin", settings: { theme: { dark: true }, n: [1, 2] } },
      { email: "bob@example.org", invitedBy: 1 },
      { email: "cy@example.org", invitedBy: 1, active: false },
    ]).returning({ id: users.id, email: users.email, active: users.active }).all());
  await suite.check("insert of many rows", async () => {
    for (let part = 0; part < 10; part++) {
      await db.insert(posts).values(Array.from({ length: 50 }, (_, i) => ({
        id: part * 50 + i + 1,
        authorId: i % 3 + 1,
        title: `post ${i}`,
        score: part + i / 100,
      }))).run();
    }
    return await db.select({ n: count(), score: sum(posts.score) }).from(posts).all();
  });
  await suite.check("select with conditions, order, page", () =>
    db.select().from(posts)
      .where(and(gt(posts.score, 3), or(eq(posts.authorId, 1), lt(posts.id, 200))))
      .orderBy(desc(posts.score), asc(posts.id)).limit(3).offset(2).all());
  await suite.check(
    "joins and groups",
    () =>
      db.select({ email: users.email, n: count(posts.id), best: max(posts.score) }).from(users)
        .leftJoin(posts, eq(posts.authorId, users.id)).groupBy(users.id).orderBy(users.id).all(),
  );
  await suite.check("a table joined with itself", () => {
    const inviter = alias(users, "inviter");
    return db.select({ who: users.email, by: inviter.email }).from(users)
      .innerJoin(inviter, eq(users.invitedBy, inviter.id)).orderBy(users.id).all();
  });
  await suite.check("subqueries and a common table expression", async () => {
    const best = db.$with("best").as(
      db.select({ author: posts.authorId, score: max(posts.score).as("score") }).from(posts)
        .groupBy(posts.authorId),
    );
    return [
      await db.with(best).select().from(best).orderBy(best.author).all(),
      await db.select({ email: users.email }).from(users).where(
        exists(db.select().from(posts).where(and(eq(posts.authorId, users.id), gt(posts.id, 499)))),
      ).all(),
      await union(
        db.select({ name: users.role }).from(users),
        db.select({ name: users.email }).from(users).where(eq(users.id, 1)),
      ).orderBy(sql`1`).all(),
    ];
  });
  await suite.check("many to many", async () => {
    await db.insert(labels).values([{ name: "new" }, { name: "old" }]).run();
    await db.insert(postLabels).values([
      { postId: 1, label: "new" },
      { postId: 1, label: "old" },
      { postId: 2, label: "old" },
    ]).run();
    return await db.select({ title: posts.title, label: postLabels.label }).from(posts)
      .innerJoin(postLabels, eq(postLabels.postId, posts.id))
      .orderBy(posts.id, postLabels.label).all();
  });
  await suite.check("relational queries", async () => {
    const found = await db.query.users.findMany({
      columns: { email: true, settings: true },
      with: {
        inviter: { columns: { email: true } },
        posts: {
          limit: 2,
          orderBy: [asc(posts.id)],
          with: { labels: { columns: { label: true } } },
        },
      },
      orderBy: [asc(users.id)],
    });
    return found;
  });
  await suite.check("a JSON column", async () => [
    await db.select({ dark: sql`json_extract(${users.settings}, '$.theme.dark')` }).from(users)
      .where(eq(users.id, 1)).all(),
    (await db.select().from(users).where(eq(users.id, 1)).all())[0].settings,
  ]);
  await suite.check("update and delete, returning", async () => [
    await db.update(users).set({ active: true, role: "admin" }).where(inArray(users.id, [2, 3]))
      .returning({ id: users.id, role: users.role }).all(),
    await db.delete(posts).where(gt(posts.id, 497)).returning({ id: posts.id }).all(),
  ]);
  await suite.check("upserts", async () => {
    for (let i = 0; i < 25; i++) {
      await db.insert(posts).values({ id: 400, authorId: 1, title: "again" })
        .onConflictDoUpdate({ target: posts.id, set: { score: sql`${posts.score} + 1` } }).run();
    }
    await db.insert(labels).values({ name: "new" }).onConflictDoNothing().run();
    return await db.select().from(posts).where(eq(posts.id, 400)).all();
  });
  await suite.check("prepared statements with placeholders", async () => {
    const prepared = db.select({ title: posts.title }).from(posts)
      .where(eq(posts.id, sql.placeholder("id"))).prepare();
    const titles = [];
    for (const id of [1, 2, 3]) titles.push(await prepared.all({ id }));
    return titles;
  });
  await suite.check(
    "a value that is not unique is refused",
    () => caught(() => db.insert(users).values({ email: "ada@example.org" }).run()),
  );
  await suite.check(
    "a foreign key that leads nowhere is refused",
    () => caught(() => db.insert(posts).values({ authorId: 99, title: "x" }).run()),
  );
  await suite.check(
    "NULL is refused",
    () => caught(() => db.insert(posts).values({ authorId: 1, title: null }).run()),
  );
  await suite.check("ON DELETE CASCADE", async () => {
    const [{ id }] = await db.insert(users).values({ email: "dan@example.org" })
      .returning({ id: users.id }).all();
    await db.insert(posts).values({ id: 1000, authorId: id, title: "mine" }).run();
    await db.delete(users).where(eq(users.id, id)).run();
    return await db.select().from(posts).where(eq(posts.id, 1000)).all();
  });

  await suite.check("a transaction that commits", async () => {
    const seen = await transaction(db, function* (tx) {
      yield tx.insert(users).values({ email: "eve@example.org" }).returning();
      return yield tx.select({ n: count() }).from(users);
    });
    return [seen, await emails()];
  });
  await suite.check("a transaction that is rolled back", async () => {
    const error = await caught(() =>
      transaction(db, function* (tx) {
        yield tx.delete(postLabels).returning();
        yield tx.insert(users).values({ email: "lost@example.org" }).returning();
        yield () => tx.rollback();
      })
    );
    return [error.message, await emails(), await db.select({ n: count() }).from(postLabels).all()];
  });
  await suite.check("an error in a transaction that goes on", async () => {
    const refused = await transaction(db, function* (tx) {
      let refused = null;
      yield tx.insert(users).values({ email: "fay@example.org" }).returning();
      try {
        yield tx.insert(users).values({ email: "fay@example.org" }).returning();
      } catch (error) {
        refused = error.cause?.message ?? error.message;
      }
      yield tx.insert(users).values({ email: "gus@example.org" }).returning();
      return refused;
    });
    return [refused, await emails()];
  });
  await suite.check("savepoints", async () => {
    const insert = (tx, email) => tx.insert(users).values({ email: `${email}@example.org` });
    if (isAsync) {
      await db.transaction(async (tx) => {
        await insert(tx, "hal").run();
        await tx.transaction(async (inner) => {
          await insert(inner, "lost").run();
          throw new Error("changed my mind");
        }).catch(() => {});
        await tx.transaction((inner) => insert(inner, "ivy").run());
      });
    } else {
      db.transaction((tx) => {
        insert(tx, "hal").run();
        try {
          tx.transaction((inner) => {
            insert(inner, "lost").run();
            throw new Error("changed my mind");
          });
        } catch {
          // it was rolled back to the savepoint
        }
        tx.transaction((inner) => insert(inner, "ivy").run());
      });
    }
    return await emails();
  });
  await suite.check("many small transactions", async () => {
    for (let i = 0; i < 60; i++) {
      await transaction(db, function* (tx) {
        const [{ score }] = yield tx.select().from(posts).where(eq(posts.id, 7));
        yield tx.update(posts).set({ score: score + 1 }).where(eq(posts.id, 7)).returning();
      }, { behavior: "immediate" });
    }
    return await db.select().from(posts).where(eq(posts.id, 7)).all();
  });
  await suite.check("binary values", async () => {
    const data = Buffer.from(Uint8Array.from({ length: 150_000 }, (_, i) => (i * 13) % 256));
    await db.insert(files).values({ name: "big", data }).run();
    const [row] = await db.select().from(files).all();
    assert.ok(data.equals(Buffer.from(row.data)));
    return row.data.length;
  });
  await suite.check("views and raw SQL", async () => {
    await db.run(sql`CREATE VIEW admins AS SELECT email FROM users WHERE role = 'admin'`);
    return await db.all(sql`SELECT * FROM admins ORDER BY email`);
  });
  await suite.check("a second connection sees what is committed", async () => {
    const second = await open("app.db", { schema });
    await db.insert(users).values({ email: "jan@example.org" }).run();
    const seen = await emails(second.db);
    await second.db.insert(users).values({ email: "kim@example.org" }).run();
    await second.close();
    return [seen, await emails()];
  });
  await suite.check("a second writer is told that the database is busy", async () => {
    const second = await open("app.db", { schema });
    let error;
    const inside = async () => {
      error = await caught(() => second.db.insert(labels).values({ name: "busy" }).run());
    };
    if (isAsync) {
      await db.transaction(async (tx) => {
        await tx.insert(labels).values({ name: "first" }).run();
        await inside();
      }, { behavior: "immediate" });
    } else {
      await db.run(sql`BEGIN IMMEDIATE`);
      await db.insert(labels).values({ name: "first" }).run();
      await inside();
      await db.run(sql`COMMIT`);
    }
    if (resetsBusy) await second.db.insert(labels).values({ name: "second" }).run();
    await second.close();
    return [error, await db.select().from(labels).orderBy(labels.name).all()];
  });
  await suite.check("it is closed and opened again", async () => {
    await close();
    ({ db, close } = await open("app.db", { schema }));
    return [await emails(), await db.all(sql`PRAGMA journal_mode`)];
  });
  await suite.check("two databases", async () => {
    const second = await open("second.db", { schema });
    await migrate(second.db, { migrationsFolder: "second" });
    for (let i = 0; i < 40; i++) {
      await second.db.insert(labels).values({ name: `l${i}` }).run();
      await db.insert(labels).values({ name: `l${i}` }).run();
    }
    const both = [];
    for (const on of [db, second.db]) both.push(await on.select({ n: count() }).from(labels).all());
    await second.close();
    return both;
  });
  await close();

  await suite.checkFiles({
    closes,
    async fill(path, count) {
      const { db, close } = await open(path, {});
      await db.run(sql`CREATE TABLE IF NOT EXISTS line(text TEXT)`);
      for (let i = 0; i < count; i++) await db.run(sql`INSERT INTO line VALUES (${`line ${i}`})`);
      await close();
    },
    async count(path) {
      const { db, close } = await open(path, {});
      const [row] = await db.values(sql`SELECT count(*) FROM line`);
      await close();
      return Number(row[0]);
    },
  });
  await suite.check("reset between tests: close, delete, migrate", async () => {
    const counts = [];
    for (let round = 0; round < 5; round++) {
      removeDatabase("second.db");
      const { db, close } = await open("second.db", { schema });
      await migrate(db, { migrationsFolder: "second" });
      await db.insert(users).values({ email: `${round}@example.org` }).run();
      counts.push(await emails(db));
      await close();
    }
    return counts;
  });
}
