// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * TypeORM over better-sqlite3.
 *
 * @module
 */
import assert from "node:assert/strict";
import process from "node:process";
import { caught, JOURNAL, removeDatabase, Suite } from "./harness.ts";

const { default: typeorm } = await import(String("typeorm"));
const { default: Database } = await import(String("better-sqlite3"));
const { Between, DataSource, EntitySchema, In, IsNull, LessThan, Like, Not, Table } = typeorm;

const suite = await Suite.begin({
  host: () => new Database(":memory:"),
  databases: ["app.db", "archive.db", "second.db"],
  volatile: ["createdAt", "updatedAt", "deletedAt", "timestamp"],
});

const id = { type: Number, primary: true, generated: true };
const User = new EntitySchema({
  name: "User",
  columns: {
    id,
    email: { type: String, unique: true },
    age: { type: Number, nullable: true },
    tags: { type: "simple-array", nullable: true },
    settings: { type: "simple-json", nullable: true },
    role: { type: "simple-enum", enum: ["admin", "user"], default: "user" },
    visits: { type: Number, default: 0 },
    version: { type: Number, version: true },
    createdAt: { type: Date, createDate: true },
    deletedAt: { type: Date, deleteDate: true },
  },
  relations: {
    profile: {
      type: "one-to-one",
      target: "Profile",
      joinColumn: true,
      cascade: true,
      nullable: true,
    },
    posts: { type: "one-to-many", target: "Post", inverseSide: "author", cascade: true },
  },
});
const Profile = new EntitySchema({
  name: "Profile",
  columns: { id, bio: { type: String }, photo: { type: "blob", nullable: true } },
});
const Post = new EntitySchema({
  name: "Post",
  columns: { id, title: { type: String }, score: { type: "real", default: 0 } },
  indices: [{ columns: ["title"] }],
  checks: [{ expression: "score >= 0" }],
  relations: {
    author: {
      type: "many-to-one",
      target: "User",
      inverseSide: "posts",
      onDelete: "CASCADE",
      nullable: false,
    },
    labels: { type: "many-to-many", target: "Label", joinTable: true, cascade: true },
  },
});
const Label = new EntitySchema({
  name: "Label",
  columns: { name: { type: String, primary: true } },
});
const Category = new EntitySchema({
  name: "Category",
  columns: { id, name: { type: String } },
  trees: [{ type: "closure-table" }],
  relations: {
    parent: { type: "many-to-one", treeParent: true, target: "Category", inverseSide: "children" },
    children: {
      type: "one-to-many",
      treeChildren: true,
      target: "Category",
      inverseSide: "parent",
    },
  },
});
const Archived = new EntitySchema({
  name: "Archived",
  database: "archive.db",
  columns: { id, text: { type: String } },
});
const Line = new EntitySchema({ name: "Line", columns: { id, text: { type: String } } });

class CreateNote1 {
  name = "CreateNote1000000000001";
  async up(runner) {
    await runner.createTable(
      new Table({
        name: "note",
        columns: [
          { name: "id", type: "integer", isPrimary: true, isGenerated: true },
          { name: "text", type: "varchar" },
        ],
      }),
      true,
    );
  }
  async down(runner) {
    await runner.dropTable("note");
  }
}
class AlterNote2 {
  name = "AlterNote1000000000002";
  async up(runner) {
    await runner.query("INSERT INTO note(text) VALUES ('kept')");
    await runner.addColumn(
      "note",
      new typeorm.TableColumn({ name: "done", type: "boolean", default: 0 }),
    );
    await runner.createIndex(
      "note",
      new typeorm.TableIndex({ name: "note_text", columnNames: ["text"] }),
    );
  }
  async down(runner) {
    await runner.dropIndex("note", "note_text");
    await runner.dropColumn("note", "done");
  }
}
class Broken3 {
  name = "Broken1000000000003";
  async up(runner) {
    await runner.query("CREATE TABLE half(x)");
    await runner.query("INSERT INTO nowhere VALUES (1)");
  }
  async down() {}
}

function open(database, options = {}) {
  return new DataSource({
    type: "better-sqlite3",
    database,
    baseDirectory: process.cwd(), // where it looks for what it attaches
    timeout: 1,
    prepareDatabase: (connection) => void connection.pragma(`journal_mode = ${JOURNAL}`),
    ...options,
  }).initialize();
}

const entities = [User, Profile, Post, Label, Category, Archived];
let source = await open("app.db", { entities, migrations: [CreateNote1, AlterNote2] });
const names = async () =>
  (await source.query("SELECT name FROM sqlite_schema ORDER BY name")).map(({ name }) => name);
const emails = async (manager = source.manager) =>
  (await manager.find(User, { order: { id: "ASC" } })).map(({ email }) => email);

await suite.check("the schema is synchronized", async () => {
  await source.synchronize();
  await source.synchronize(); // there is nothing left to do
  return await names();
});
await suite.checkInUse("app.db");
await suite.check("migrations", async () => {
  const ran = await source.runMigrations();
  return [ran.map(({ name }) => name), await source.query("SELECT * FROM note")];
});
await suite.check("migrations are undone", async () => {
  await source.undoLastMigration();
  await source.undoLastMigration();
  const without = await names();
  await source.runMigrations({ transaction: "each" });
  return [without, await source.query("SELECT * FROM note"), await source.showMigrations()];
});
await suite.check("a migration that fails leaves nothing", async () => {
  const broken = await open("app.db", { migrations: [CreateNote1, AlterNote2, Broken3] });
  const error = await caught(() => broken.runMigrations());
  await broken.destroy();
  return [error, (await names()).includes("half")];
});

await suite.check("save with what belongs to it", async () => {
  const users = await source.manager.save(User, [
    {
      email: "ada@example.org",
      age: 36,
      role: "admin",
      tags: ["a", "b"],
      settings: { theme: { dark: true } },
      profile: { bio: "counts" },
      posts: [
        { title: "first", score: 1, labels: [{ name: "new" }, { name: "old" }] },
        { title: "second", score: 2 },
      ],
    },
    { email: "bob@example.org", age: 40 },
    { email: "cy@example.org" },
  ]);
  return users.map(({ id, email }) => [id, email]);
});
await suite.check("find with relations", async () => {
  const user = await source.manager.findOne(User, {
    where: { email: "ada@example.org" },
    relations: { profile: true, posts: { labels: true } },
    order: { posts: { id: "ASC", labels: { name: "ASC" } } },
  });
  const { posts, profile, settings, tags, role } = user;
  return { posts, profile, settings, tags, role };
});
await suite.check("find by conditions", async () => [
  await source.manager.countBy(User, { age: Between(30, 38) }),
  await source.manager.countBy(User, { age: IsNull() }),
  await source.manager.countBy(User, [{ email: Like("b%") }, { age: LessThan(37) }]),
  await source.manager.countBy(User, { id: Not(In([1, 2])) }),
  await source.manager.existsBy(User, { email: "nobody" }),
]);
await suite.check("insert of many rows, in chunks", async () => {
  const [author] = await source.manager.findBy(User, { id: 2 });
  const posts = Array.from({ length: 300 }, (_, i) => ({ title: `post ${i}`, score: i, author }));
  await source.manager.save(Post, posts, { chunk: 50 });
  await source.manager.insert(Post, { title: "single", score: 5, author: { id: 3 } });
  return [await source.manager.count(Post), await source.manager.sum(Post, "score")];
});
await suite.check("the query builder: join, group, page", async () => [
  await source.createQueryBuilder(User, "user").leftJoin("user.posts", "post")
    .select("user.email", "email").addSelect("COUNT(post.id)", "n").groupBy("user.id")
    .orderBy("user.id").getRawMany(),
  await source.createQueryBuilder(Post, "post").where("post.score > :low", { low: 100 })
    .orderBy("post.score", "DESC").skip(3).take(2).getManyAndCount(),
]);
await suite.check("the query builder: subqueries and CTEs", async () => {
  const best = source.createQueryBuilder(Post, "post").select("MAX(post.score)");
  return [
    await source.createQueryBuilder(Post, "p").where(`p.score = (${best.getQuery()})`).getOne(),
    await source.createQueryBuilder().addCommonTableExpression("SELECT 1 AS x", "one")
      .select("x").from("one", "one").getRawMany(),
  ];
});
await suite.check("update, increment and delete, with counts", async () => [
  (await source.manager.update(User, { age: Not(IsNull()) }, { visits: 3 })).affected,
  (await source.manager.increment(User, { id: 1 }, "visits", 4)).affected,
  (await source.manager.delete(Post, { title: Like("post 29%") })).affected,
  await source.manager.find(User, { select: { id: true, visits: true }, order: { id: "ASC" } }),
]);
await suite.check("upserts", async () => {
  for (let i = 0; i < 20; i++) {
    await source.manager.upsert(User, { email: "bob@example.org", age: 40 + i }, ["email"]);
  }
  await source.createQueryBuilder().insert().into(Label).values([{ name: "new" }, { name: "x" }])
    .orIgnore().execute();
  return [
    await source.manager.findOne(User, { where: { id: 2 }, select: { age: true } }),
    await source.manager.find(Label, { order: { name: "ASC" } }),
  ];
});
await suite.check("soft deletion and restoring", async () => {
  await source.manager.softDelete(User, { id: 3 });
  const without = await emails();
  await source.manager.restore(User, { id: 3 });
  return [without, await emails()];
});
await suite.check("versions", async () => {
  const user = await source.manager.findOneBy(User, { id: 1 });
  const before = user.version;
  user.age = 37;
  await source.manager.save(User, user);
  return [user.version - before];
});
await suite.check("a tree", async () => {
  const tree = source.getTreeRepository(Category);
  const root = await tree.save({ name: "root" });
  const left = await tree.save({ name: "left", parent: root });
  await tree.save({ name: "right", parent: root });
  await tree.save({ name: "leaf", parent: left });
  return [await tree.findTrees(), await tree.countDescendants(root)];
});
await suite.check("binary values", async () => {
  const photo = Buffer.from(Uint8Array.from({ length: 120_000 }, (_, i) => (i * 11) % 256));
  await source.manager.update(Profile, { id: 1 }, { photo });
  const profile = await source.manager.findOneBy(Profile, { id: 1 });
  assert.ok(photo.equals(profile.photo));
  return profile.photo.length;
});
await suite.check(
  "a value that is not unique is refused",
  () => caught(() => source.manager.insert(User, { email: "ada@example.org" })),
);
await suite.check(
  "a foreign key that leads nowhere is refused",
  () => caught(() => source.manager.insert(Post, { title: "x", author: { id: 99 } })),
);
await suite.check("NULL and a value out of range are refused", async () => [
  await caught(() => source.manager.insert(Post, { title: null, author: { id: 1 } })),
  await caught(() => source.manager.insert(Post, { title: "x", score: -1, author: { id: 1 } })),
]);

await suite.check("a transaction that commits", async () => {
  const seen = await source.transaction(async (manager) => {
    await manager.insert(User, { email: "dan@example.org" });
    return (await emails(manager)).length;
  });
  return [seen, await emails()];
});
await suite.check("a transaction that is rolled back", async () => {
  const error = await caught(() =>
    source.transaction(async (manager) => {
      await manager.createQueryBuilder().delete().from(Post).execute();
      await manager.insert(User, { email: "lost@example.org" });
      throw new Error("changed my mind");
    })
  );
  return [error, await emails(), await source.manager.count(Post)];
});
await suite.check("transactions in transactions are savepoints", async () => {
  await source.transaction(async (outer) => {
    await outer.insert(User, { email: "eve@example.org" });
    await outer.transaction(async (inner) => {
      await inner.insert(User, { email: "lost@example.org" });
      throw new Error("changed my mind");
    }).catch(() => {});
    await outer.transaction((inner) => inner.insert(User, { email: "fay@example.org" }));
  });
  return await emails();
});
await suite.check("a query runner's own transaction", async () => {
  const runner = source.createQueryRunner();
  await runner.startTransaction();
  await runner.manager.insert(User, { email: "gus@example.org" });
  const refused = await caught(() => runner.manager.insert(User, { email: "gus@example.org" }));
  await runner.commitTransaction();
  await runner.startTransaction();
  await runner.query(`DELETE FROM "user"`);
  await runner.rollbackTransaction();
  await runner.release();
  return [refused.code, await emails()];
});
await suite.check("sixty transactions, one after the other", async () => {
  for (let i = 0; i < 60; i++) {
    await source.transaction(async (manager) => {
      const user = await manager.findOneBy(User, { id: 1 });
      await manager.update(User, { id: 1 }, { visits: user.visits + 1 });
    });
  }
  return (await source.manager.findOneBy(User, { id: 1 })).visits;
});
await suite.check("an attached database", async () => {
  await source.manager.insert(Archived, [{ text: "one" }, { text: "two" }]);
  await source.transaction(async (manager) => {
    await manager.insert(Archived, { text: "three" });
    await manager.insert(User, { email: "hal@example.org" });
  });
  await caught(() =>
    source.transaction(async (manager) => {
      await manager.insert(Archived, { text: "lost" });
      await manager.insert(User, { email: "hal@example.org" });
    })
  );
  return await source.manager.find(Archived, { order: { id: "ASC" } });
});
await suite.check("subscribers are told", async () => {
  const events = [];
  source.subscribers.push({
    listenTo: () => "Label",
    afterInsert: ({ entity }) => void events.push(`insert ${entity.name}`),
    afterTransactionCommit: () => void events.push("commit"),
    afterTransactionRollback: () => void events.push("rollback"),
  });
  await source.manager.save(Label, { name: "told" });
  await caught(() => source.transaction(() => Promise.reject(new Error("no"))));
  source.subscribers.length = 0;
  return events;
});
await suite.check("the schema is changed by a query runner", async () => {
  const runner = source.createQueryRunner();
  await runner.addColumn(
    "note",
    new typeorm.TableColumn({ name: "extra", type: "integer", isNullable: true }),
  );
  await runner.renameColumn("note", "extra", "more");
  await runner.createUniqueConstraint(
    "note",
    new typeorm.TableUnique({ name: "note_unique", columnNames: ["text"] }),
  );
  const refused = await caught(() => runner.query("INSERT INTO note(text) VALUES ('kept')"));
  const table = await runner.getTable("note");
  await runner.renameTable("note", "notes");
  await runner.release();
  return [
    table.columns.map(({ name }) => name),
    refused.message,
    (await names()).includes("notes"),
  ];
});
await suite.check("a second connection sees what is committed, and only that", async () => {
  const second = await open("app.db", { entities });
  const runner = source.createQueryRunner();
  await runner.startTransaction();
  await runner.manager.insert(User, { email: "ivy@example.org" });
  const during = (await emails(second.manager)).includes("ivy@example.org");
  const busy = await caught(() => second.manager.insert(User, { email: "jan@example.org" }));
  await runner.commitTransaction();
  await runner.release();
  const after = (await emails(second.manager)).includes("ivy@example.org");
  await second.manager.insert(User, { email: "jan@example.org" });
  await second.destroy();
  return [during, busy.code, after, await emails()];
});
await suite.check("it is destroyed and opened again", async () => {
  await source.destroy();
  source = await open("app.db", { entities, enableWAL: JOURNAL === "WAL" });
  return [
    await emails(),
    await source.manager.count(Archived),
    await source.query("PRAGMA journal_mode"),
  ];
});
await suite.check("drop and synchronize at once", async () => {
  const second = await open("second.db", { entities: [Line], synchronize: true, dropSchema: true });
  await second.manager.save(Line, Array.from({ length: 50 }, (_, i) => ({ text: `line ${i}` })));
  const count = await second.manager.count(Line);
  await second.synchronize(true);
  const empty = await second.manager.count(Line);
  await second.destroy();
  return [count, empty];
});
await source.destroy();

const openLines = (path) => open(path, { entities: [Line], synchronize: true });
await suite.checkFiles({
  async fill(path, count) {
    const source = await openLines(path);
    for (let i = 0; i < count; i++) await source.manager.insert(Line, { text: `line ${i}` });
    await source.destroy();
  },
  async count(path) {
    const source = await openLines(path);
    const count = await source.manager.count(Line);
    await source.destroy();
    return count;
  },
});
await suite.check("reset between tests: destroy, delete, synchronize", async () => {
  const counts = [];
  for (let round = 0; round < 5; round++) {
    removeDatabase("second.db");
    const source = await openLines("second.db");
    await source.manager.insert(Line, { text: `round ${round}` });
    counts.push((await source.manager.find(Line)).map(({ text }) => text));
    await source.destroy();
  }
  return counts;
});
await suite.end();
