// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * The flows of Prisma's client, over any of its adapters for SQLite. The tables are made by SQL as
 * `prisma migrate diff` writes it: the engine behind that command is a download, not a package.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { caught, removeDatabase } from "./harness.ts";

const { Prisma, PrismaClient } = await import(String("./generated/client.ts"));

const SQL = `
  CREATE TABLE "User"("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "email" TEXT NOT NULL,
    "name" TEXT, "role" TEXT NOT NULL DEFAULT 'USER', "balance" INTEGER NOT NULL DEFAULT 0,
    "big" BIGINT NOT NULL DEFAULT 0, "settings" JSONB, "photo" BLOB,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
  CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
  CREATE TABLE "Profile"("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "bio" TEXT NOT NULL,
    "userId" INTEGER NOT NULL, CONSTRAINT "Profile_userId_fkey" FOREIGN KEY ("userId")
    REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE);
  CREATE UNIQUE INDEX "Profile_userId_key" ON "Profile"("userId");
  CREATE TABLE "Post"("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "title" TEXT NOT NULL,
    "score" REAL NOT NULL DEFAULT 0, "authorId" INTEGER NOT NULL, CONSTRAINT "Post_authorId_fkey"
    FOREIGN KEY ("authorId") REFERENCES "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE);
  CREATE INDEX "Post_authorId_title_idx" ON "Post"("authorId", "title");
  CREATE TABLE "Label"("name" TEXT NOT NULL PRIMARY KEY);
  CREATE TABLE "_LabelToPost"("A" TEXT NOT NULL, "B" INTEGER NOT NULL,
    FOREIGN KEY ("A") REFERENCES "Label"("name") ON DELETE CASCADE ON UPDATE CASCADE,
    FOREIGN KEY ("B") REFERENCES "Post"("id") ON DELETE CASCADE ON UPDATE CASCADE);
  CREATE UNIQUE INDEX "_LabelToPost_AB_unique" ON "_LabelToPost"("A", "B");
  CREATE INDEX "_LabelToPost_B_index" ON "_LabelToPost"("B");
  CREATE TABLE "Line"("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "text" TEXT NOT NULL);`;

/** The value with its BigInts written as strings, for JSON. */
const plain = (value) =>
  JSON.parse(JSON.stringify(value, (_, item) => typeof item === "bigint" ? `${item}n` : item));

/** How the client describes a refused query. */
async function refused(work) {
  const { name, code, meta } = await fullError(work);
  const { modelName, target, constraint, driverAdapterError } = meta ?? {};
  const cause = driverAdapterError?.cause;
  return plain({ name, code, modelName, target, constraint, kind: cause?.kind, cause });
}

async function fullError(work) {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error("no error was thrown");
}

/** Make the checks, with databases "app.db" and "second.db". */
export async function prismaChecks(suite, driver) {
  const { adapter, migrate, closes = true, big = 9_007_199_254_740_993n } = driver;
  const open = (path) => new PrismaClient({ adapter: adapter(path) });
  let prisma;
  const emails = async (on = prisma) =>
    (await on.user.findMany({ select: { email: true }, orderBy: { id: "asc" } }))
      .map(({ email }) => email);

  await suite.check("the tables are made", async () => {
    migrate("app.db", SQL);
    prisma = open("app.db");
    return await prisma
      .$queryRaw`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`;
  });
  await suite.check("create with what belongs to it", async () =>
    plain(
      await prisma.user.create({
        data: {
          email: "ada@example.org",
          name: "Ada",
          role: "ADMIN",
          big,
          settings: { theme: { dark: true }, list: [1, 2] },
          profile: { create: { bio: "counts" } },
          posts: {
            create: [
              { title: "first", labels: { create: [{ name: "new" }, { name: "old" }] } },
              { title: "second", labels: { connect: [{ name: "old" }] } },
            ],
          },
        },
        include: { profile: true, posts: { include: { labels: { orderBy: { name: "asc" } } } } },
        omit: { createdAt: true },
      }),
    ));
  await suite.checkInUse("app.db");
  await suite.check("createMany, and returning", async () => [
    await prisma.user.createMany({ data: [{ email: "bob@example.org" }, { email: "cy@x.org" }] }),
    await prisma.label.createManyAndReturn({ data: [{ name: "a" }, { name: "b" }] }),
  ]);
  await suite.check("many rows", async () => {
    const data = Array.from({ length: 400 }, (_, i) => ({
      title: `post ${i}`,
      score: i / 4,
      authorId: i % 3 + 1,
    }));
    await prisma.post.createMany({ data });
    return await prisma.post.aggregate({ _count: true, _sum: { score: true } });
  });
  await suite.check("find by conditions, order, page", () =>
    prisma.post.findMany({
      where: {
        OR: [{ title: { startsWith: "post 3" } }, { author: { email: { contains: "ada" } } }],
        score: { gt: 9 },
        labels: { none: { name: "new" } },
      },
      orderBy: [{ score: "desc" }, { id: "asc" }],
      skip: 2,
      take: 4,
    }));
  await suite.check(
    "a cursor",
    () => prisma.post.findMany({ cursor: { id: 50 }, skip: 1, take: 2, orderBy: { id: "asc" } }),
  );
  await suite.check("relations, counted and nested", () =>
    prisma.user.findMany({
      select: {
        email: true,
        _count: { select: { posts: true } },
        posts: { take: 1, orderBy: { score: "desc" }, select: { title: true } },
      },
      orderBy: { posts: { _count: "desc" } },
    }));
  await suite.check("group by, having", () =>
    prisma.post.groupBy({
      by: ["authorId"],
      _count: true,
      _max: { score: true },
      having: { score: { _max: { gt: 99 } } },
      orderBy: { authorId: "asc" },
    }));
  await suite.check("a JSON column", async () => [
    await prisma.user.findMany({
      where: { settings: { path: "$.theme.dark", equals: true } },
      select: { email: true, settings: true },
    }),
    (await prisma.user.findUniqueOrThrow({ where: { id: 1 } })).settings,
  ]);
  await suite.check("binary and big values", async () => {
    const photo = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 17) % 256);
    await prisma.user.update({ where: { id: 1 }, data: { photo } });
    const found = await prisma.user.findUniqueOrThrow({ where: { id: 1 } });
    assert.deepEqual(new Uint8Array(found.photo), photo);
    return [found.photo.length, String(found.big), found.createdAt instanceof Date];
  });
  await suite.check("update, increment, delete, with counts", async () => [
    await prisma.user.updateMany({ data: { balance: { increment: 100 } } }),
    await prisma.post.deleteMany({ where: { title: { endsWith: "99" } } }),
    (await prisma.user.update({ where: { id: 2 }, data: { balance: { decrement: 30 } } })).balance,
  ]);
  await suite.check("nested writes", async () =>
    plain(
      await prisma.post.update({
        where: { id: 1 },
        data: {
          score: { multiply: 2 },
          labels: { disconnect: { name: "old" }, connectOrCreate: ["a", "z"].map(labelled) },
          author: { update: { name: "Ada L.", profile: { update: { bio: "still counts" } } } },
        },
        include: { labels: { orderBy: { name: "asc" } }, author: { select: { name: true } } },
      }),
    ));
  await suite.check("upserts", async () => {
    const email = "bob@example.org";
    for (let i = 0; i < 20; i++) {
      await prisma.user.upsert({
        where: { email },
        create: { email },
        update: { balance: { increment: 1 } },
      });
    }
    return (await prisma.user.findUnique({ where: { email } })).balance;
  });
  await suite.check(
    "a value that is not unique is refused",
    () => refused(() => prisma.user.create({ data: { email: "ada@example.org" } })),
  );
  await suite.check(
    "a foreign key that leads nowhere is refused",
    () => refused(() => prisma.post.create({ data: { title: "x", authorId: 99 } })),
  );
  await suite.check(
    "a row that others need is not deleted",
    () => refused(() => prisma.user.delete({ where: { id: 1 } })),
  );
  await suite.check(
    "a missing row is not updated",
    () => refused(() => prisma.user.update({ where: { id: 99 }, data: { name: "nobody" } })),
  );

  await suite.check("a list of queries in a transaction", async () => {
    const results = await prisma.$transaction([
      prisma.user.create({ data: { email: "dan@example.org" }, select: { id: true } }),
      prisma.user.count(),
    ]);
    return [results, await emails()];
  });
  await suite.check("a list of queries of which one fails", async () => [
    await refused(() =>
      prisma.$transaction([
        prisma.user.create({ data: { email: "lost@example.org" } }),
        prisma.user.create({ data: { email: "ada@example.org" } }),
      ])
    ),
    await emails(),
  ]);
  await suite.check("a transaction that commits", async () => {
    const transfer = (from, to, amount) =>
      prisma.$transaction(async (tx) => {
        const sender = await tx.user.update({
          where: { id: from },
          data: { balance: { decrement: amount } },
        });
        if (sender.balance < 0) throw new Error("not enough");
        await tx.user.update({ where: { id: to }, data: { balance: { increment: amount } } });
      });
    await transfer(1, 2, 40);
    const error = await caught(() => transfer(1, 2, 400));
    const users = await prisma.user.findMany({ select: { balance: true }, orderBy: { id: "asc" } });
    return [error.message, users];
  });
  await suite.check("a transaction that takes too long is rolled back", async () => {
    const { code } = await fullError(() =>
      prisma.$transaction(async (tx) => {
        await tx.user.create({ data: { email: "lost@example.org" } });
        await new Promise((resolve) => setTimeout(resolve, 300));
        await tx.user.create({ data: { email: "lost2@example.org" } });
      }, { timeout: 100 })
    );
    return [code, await emails()];
  });
  await suite.check("forty transactions that are begun at once", async () => {
    await Promise.all(Array.from({ length: 40 }, () =>
      prisma.$transaction(async (tx) => {
        const { balance } = await tx.user.findUniqueOrThrow({ where: { id: 3 } });
        await tx.user.update({ where: { id: 3 }, data: { balance: balance + 1 } });
      }, { maxWait: 60_000, timeout: 60_000 })));
    return (await prisma.user.findUnique({ where: { id: 3 } })).balance;
  });
  await suite.check("raw queries", async () => {
    const low = 98;
    return [
      await prisma.$executeRaw`UPDATE "Post" SET "score" = "score" + 1 WHERE "score" > ${low}`,
      await prisma.$queryRaw`SELECT "title" FROM "Post" WHERE "score" > ${low} ORDER BY "title"`,
      await prisma.$queryRaw(Prisma.sql`SELECT ${Prisma.join([1, 2, 3])}`),
      (await fullError(() => prisma.$queryRawUnsafe("SELECT * FROM nowhere"))).code,
    ];
  });
  await suite.check("an extension of the client", async () => {
    const seen = [];
    const extended = prisma.$extends({
      query: {
        user: {
          async create({ args, query }) {
            seen.push(args.data.email);
            return await query(args);
          },
        },
      },
      result: { user: { label: { needs: { email: true }, compute: ({ email }) => `<${email}>` } } },
    });
    const { label } = await extended.user.create({ data: { email: "eve@example.org" } });
    return [seen, label];
  });
  await suite.check("a second client sees what is committed, and only that", async () => {
    const second = open("app.db");
    let during;
    await prisma.$transaction(async (tx) => {
      await tx.user.create({ data: { email: "fay@example.org" } });
      during = (await emails(second)).includes("fay@example.org");
    });
    const after = (await emails(second)).includes("fay@example.org");
    await second.$disconnect();
    return [during, after];
  });
  await suite.check("a second client that writes is told that the database is busy", async () => {
    const second = open("app.db");
    let busy;
    await prisma.$transaction(async (tx) => {
      await tx.user.create({ data: { email: "gus@example.org" } });
      busy = await refused(() => second.user.create({ data: { email: "hal@example.org" } }));
    }, { timeout: 30_000 });
    await second.$disconnect();
    return [busy.name, busy.code, await emails()];
  });
  await suite.check("it disconnects and connects again", async () => {
    await prisma.$disconnect();
    prisma = open("app.db");
    return [await emails(), await prisma.$queryRaw`PRAGMA journal_mode`];
  });
  await prisma.$disconnect();

  await suite.checkFiles({
    closes,
    async fill(path, count) {
      if (!existsSync(path)) migrate(path, SQL);
      const client = open(path);
      for (let i = 0; i < count; i++) await client.line.create({ data: { text: `line ${i}` } });
      await client.$disconnect();
    },
    async count(path) {
      const client = open(path);
      const count = await client.line.count();
      await client.$disconnect();
      return count;
    },
  });
  await suite.check("reset between tests: disconnect, delete, migrate", async () => {
    const counts = [];
    for (let round = 0; round < 5; round++) {
      removeDatabase("second.db");
      migrate("second.db", SQL);
      const client = open("second.db");
      await client.user.create({ data: { email: `${round}@example.org` } });
      counts.push(await emails(client));
      await client.$disconnect();
    }
    return counts;
  });
}

function labelled(name) {
  return { where: { name }, create: { name } };
}
