// @ts-nocheck: what it imports is installed by `./run suites` only
/**
 * better-auth with its adapter for SQLite: over better-sqlite3 in Node, node:sqlite in Deno,
 * bun:sqlite in Bun. Requests go through its handler, with cookies, as a server's do.
 *
 * @module
 */
import assert from "node:assert/strict";
import { JOURNAL, removeDatabase, RUNTIME, Suite } from "./harness.ts";

const { betterAuth } = await import(String("better-auth"));
const { getMigrations } = await import(String("better-auth/db/migration"));
const plugins = await import(String("better-auth/plugins"));
const Database = await database();

const ORIGIN = "http://localhost:3000";

async function database() {
  if (RUNTIME === "node") return (await import(String("better-sqlite3"))).default;
  if (RUNTIME === "bun") return (await import(String("bun:sqlite"))).Database;
  return (await import("node:sqlite")).DatabaseSync;
}

/** No request is slowed down, not even by the library's own rules for some paths. */
const RULES = Object.fromEntries(
  ["/sign-in/*", "/sign-up/*", "/change-*", "/send-*", "/request-*", "/admin/*", "/*"]
    .map((path) => [path, { window: 3_600, max: 10_000 }]),
);

const suite = await Suite.begin({
  host: RUNTIME === "node" ? () => new Database(":memory:") : undefined,
  databases: ["app.db", "second.db"],
  volatile: [
    ...["id", "userId", "accountId", "activeOrganizationId", "organizationId", "inviterId"],
    ...["createdAt", "updatedAt", "expiresAt", "banExpires", "lastRequest", "key", "value"],
    ...["token", "password", "secret", "backupCodes", "publicKey", "privateKey", "identifier"],
  ],
});

const mails = [];

/** Sends a mail: keeps the part of it that the checks need. */
const sent = (part) => (letter) => {
  mails.push(letter[part]);
  return Promise.resolve();
};

/** An application: its requests, and its connection. */
async function open(path, extra = {}) {
  const connection = new Database(path);
  connection.exec(`PRAGMA journal_mode = ${JOURNAL}`);
  const auth = betterAuth({
    database: connection,
    baseURL: ORIGIN,
    secret: "a secret of the tests, and of nobody else",
    telemetry: { enabled: false },
    logger: { disabled: true },
    emailAndPassword: {
      enabled: true,
      sendResetPassword: sent("token"),
    },
    emailVerification: { sendVerificationEmail: sent("token") },
    user: { changeEmail: { enabled: true }, deleteUser: { enabled: true } },
    rateLimit: { enabled: true, storage: "database", max: 10_000, customRules: RULES },
    plugins: [
      plugins.username(),
      plugins.admin(),
      plugins.organization({ sendInvitationEmail: sent("id") }),
      plugins.bearer(),
      plugins.magicLink({ sendMagicLink: sent("token") }),
    ],
    ...extra,
  });
  const { runMigrations, toBeCreated } = await getMigrations(auth.options);
  const created = toBeCreated.map(({ table }) => table);
  await runMigrations();
  return { auth, connection, created };
}

/** A browser: keeps its cookies. */
class Browser {
  cookies = new Map();
  async ask(path, body, headers = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await app.auth.handler(
      new Request(`${ORIGIN}/api/auth${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: { origin: ORIGIN, "content-type": "application/json", cookie, ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
      }),
    );
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split("=");
      if (value === "" || /max-age=0/i.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    const text = await response.text();
    return { status: response.status, body: text.startsWith("{") ? JSON.parse(text) : text };
  }
  async session() {
    const { body } = await this.ask("/get-session");
    return body?.user?.email ?? null;
  }
}

const rows = (sql, ...values) => {
  const statement = app.connection.prepare(sql);
  const found = statement.all(...values).map((row) => ({ ...row }));
  statement.finalize?.();
  return found;
};
const countOf = (table) => rows(`SELECT count(*) AS n FROM "${table}"`)[0].n;
const PASSWORD = "correct horse battery";
const brief = ({ status, body }) => [status, body?.code ?? body?.message ?? null];

let app = await open("app.db");
const ada = new Browser();
const bob = new Browser();

await suite.check("the tables are made", () => [
  app.created.sort(),
  rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"),
]);
await suite.checkInUse("app.db");
await suite.check("there is nothing left to migrate", async () => {
  const { toBeCreated, toBeAdded } = await getMigrations(app.auth.options);
  return [toBeCreated.length, toBeAdded.length];
});
await suite.check("sign up", async () => {
  const { status, body } = await ada.ask("/sign-up/email", {
    ...{ email: "ada@example.org", password: PASSWORD, name: "Ada", username: "ada" },
  });
  return [status, body.user.email, countOf("user"), countOf("account"), countOf("session")];
});
await suite.check("a user that has signed up has a session", () => ada.session());
await suite.check("the same address does not sign up twice", async () => [
  brief(
    await bob.ask("/sign-up/email", {
      ...{ email: "ada@example.org", password: PASSWORD, name: "Not Ada", username: "other" },
    }),
  ),
  countOf("user"),
]);
await suite.check("sign out", async () => {
  const { status } = await ada.ask("/sign-out", {});
  return [status, await ada.session(), countOf("session")];
});
await suite.check("sign in with a wrong password", async () => [
  brief(await ada.ask("/sign-in/email", { email: "ada@example.org", password: "wrong" })),
  countOf("session"),
]);
await suite.check("sign in", async () => {
  const { status } = await ada.ask("/sign-in/email", {
    ...{ email: "ada@example.org", password: PASSWORD },
  });
  return [status, await ada.session(), countOf("session")];
});
await suite.check("sign in by the user's name", async () => {
  const { status } = await new Browser().ask("/sign-in/username", {
    ...{ username: "ada", password: PASSWORD },
  });
  return [status, countOf("session")];
});
await suite.check("sessions are listed and revoked", async () => {
  const before = (await ada.ask("/list-sessions")).body;
  const { status } = await ada.ask("/revoke-other-sessions", {});
  return [JSON.parse(before).length, status, countOf("session"), await ada.session()];
});
await suite.check("a bearer's token", async () => {
  const [{ token }] = rows("SELECT token FROM session");
  const { body } = await new Browser().ask("/get-session", undefined, {
    authorization: `Bearer ${token}`,
  });
  return body.user.email;
});
await suite.check("an expired session is refused and deleted", async () => {
  const other = new Browser();
  await other.ask("/sign-in/email", { email: "ada@example.org", password: PASSWORD });
  const before = countOf("session");
  const past = rows(`SELECT typeof("expiresAt") AS type FROM session`)[0].type === "integer"
    ? "0"
    : "'2000-01-01T00:00:00.000Z'";
  app.connection.exec(
    `UPDATE session SET "expiresAt" = ${past} WHERE rowid = (SELECT max(rowid) FROM session)`,
  );
  return [before, await other.session(), countOf("session"), await ada.session()];
});
await suite.check("the user is updated", async () => {
  await ada.ask("/update-user", { name: "Ada Lovelace", image: "ada.png" });
  return rows("SELECT name, image, email FROM user");
});
await suite.check("the password is changed", async () => {
  const wrong = await ada.ask("/change-password", {
    ...{ currentPassword: "wrong", newPassword: "another password" },
  });
  const { status } = await ada.ask("/change-password", {
    ...{ currentPassword: PASSWORD, newPassword: "another password" },
  });
  const old = await bob.ask("/sign-in/email", { email: "ada@example.org", password: PASSWORD });
  return [brief(wrong), status, brief(old)];
});
await suite.check("the password is reset by mail", async () => {
  await bob.ask("/request-password-reset", { email: "ada@example.org", redirectTo: "/reset" });
  const token = mails.pop();
  const { status } = await bob.ask("/reset-password", { token, newPassword: PASSWORD });
  const again = await bob.ask("/reset-password", { token, newPassword: "third password" });
  const signedIn = await ada.ask("/sign-in/email", {
    ...{ email: "ada@example.org", password: PASSWORD },
  });
  return [status, brief(again), signedIn.status];
});
await suite.check("the address is verified", async () => {
  await ada.ask("/send-verification-email", { email: "ada@example.org" });
  const { status } = await ada.ask(`/verify-email?token=${encodeURIComponent(mails.pop())}`);
  return [status, rows(`SELECT "emailVerified" FROM user`)];
});
await suite.check("a magic link signs up a new user", async () => {
  await bob.ask("/sign-in/magic-link", { email: "bob@example.org", name: "Bob" });
  const token = mails.pop();
  const before = [countOf("user"), countOf("verification")];
  await bob.ask(`/magic-link/verify?token=${token}`);
  return [before, await bob.session(), [countOf("user"), countOf("verification")]];
});
await suite.check("ten users sign up at once", async () => {
  const results = await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      new Browser().ask("/sign-up/email", {
        ...{
          email: `u${i}@example.org`,
          password: PASSWORD,
          name: `User ${i}`,
          username: `user${i}`,
        },
      })),
  );
  return [results.map(({ status }) => status), countOf("user"), countOf("account")];
});
await suite.check("one address that signs up five times at once", async () => {
  const results = await Promise.all(
    Array.from({ length: 5 }, () =>
      new Browser().ask("/sign-up/email", {
        ...{ email: "twin@example.org", password: PASSWORD, name: "Twin" },
      })),
  );
  const users = rows("SELECT count(*) AS n FROM user WHERE email = 'twin@example.org'");
  return [results.filter(({ status }) => status === 200).length, users];
});
await suite.check("an organization, an invitation, a member", async () => {
  const { body } = await ada.ask("/organization/create", { name: "Engines", slug: "engines" });
  const invited = await ada.ask("/organization/invite-member", {
    ...{ email: "bob@example.org", role: "member", organizationId: body.id },
  });
  const accepted = await bob.ask("/organization/accept-invitation", { invitationId: mails.pop() });
  const twice = await ada.ask("/organization/create", { name: "Other", slug: "engines" });
  return [
    ...[invited.status, accepted.status, brief(twice)],
    rows("SELECT role FROM member ORDER BY rowid"),
    rows("SELECT status FROM invitation"),
  ];
});
await suite.check("an administrator bans a user", async () => {
  app.connection.exec("UPDATE user SET role = 'admin' WHERE email = 'ada@example.org'");
  const [{ id }] = rows("SELECT id FROM user WHERE email = 'u3@example.org'");
  const refused = await bob.ask("/admin/ban-user", { userId: id, banReason: "no reason" });
  const { status } = await ada.ask("/admin/ban-user", { userId: id, banReason: "spam" });
  const signedIn = await new Browser().ask("/sign-in/email", {
    ...{ email: "u3@example.org", password: PASSWORD },
  });
  return [
    brief(refused),
    status,
    brief(signedIn),
    rows(`SELECT "banReason" FROM user WHERE banned = 1`),
  ];
});
await suite.check("an administrator lists users, by pages", async () => {
  const { body } = await ada.ask(
    "/admin/list-users?limit=3&offset=2&sortBy=email&sortDirection=asc",
  );
  return [body.total, body.users.map(({ email }) => email)];
});
await suite.check("requests are counted in the database", () => {
  const counted = rows(`SELECT count(*) AS n, min(count) >= 1 AS counted FROM "rateLimit"`);
  return counted[0].n > 0 && counted[0].counted === 1;
});
await suite.check("a user is deleted, with sessions and accounts", async () => {
  const browser = new Browser();
  await browser.ask("/sign-in/email", { email: "u5@example.org", password: PASSWORD });
  const before = [countOf("user"), countOf("account")];
  const { status } = await browser.ask("/delete-user", { password: PASSWORD });
  return [before, status, [countOf("user"), countOf("account")], await browser.session()];
});
await suite.check("the file is opened again: sessions go on", async () => {
  app.connection.close();
  app = await open("app.db");
  return [app.created, await ada.session(), await bob.session()];
});
await suite.check("fifty requests at once", async () => {
  const found = await Promise.all(Array.from({ length: 50 }, () => ada.session()));
  return found.every((email) => email === "ada@example.org");
});
await suite.check("a second connection of the driver's reads what was written", () => {
  const second = new Database("app.db");
  const statement = second.prepare("SELECT email FROM user ORDER BY email LIMIT 3");
  const found = statement.all().map((row) => ({ ...row }));
  statement.finalize?.();
  second.close();
  return found;
});
app.connection.close();

/** In place of the slow hash of passwords. */
const password = {
  hash: (text) => Promise.resolve(`hash of ${text}`),
  verify: ({ hash, password }) => Promise.resolve(hash === `hash of ${password}`),
};
let lines = 0;
const openQuick = (path) => open(path, { emailAndPassword: { enabled: true, password } });
await suite.checkFiles({
  // Bun keeps statements that it has cached until they are collected.
  closes: RUNTIME !== "bun" || JOURNAL === "DELETE",
  async fill(path, count) {
    const { auth, connection } = await openQuick(path);
    for (let i = 0; i < count; i++) {
      const email = `line${lines++}@example.org`;
      await auth.api.signUpEmail({ body: { email, password: PASSWORD, name: "Somebody" } });
    }
    connection.close();
  },
  count(path) {
    const connection = new Database(path);
    const statement = connection.prepare("SELECT count(*) AS n FROM user");
    const [{ n }] = statement.all();
    statement.finalize?.();
    connection.close();
    return n;
  },
});
await suite.check("reset between tests: close, delete, migrate", async () => {
  const counts = [];
  for (let round = 0; round < 5; round++) {
    removeDatabase("second.db");
    app = await openQuick("second.db");
    const { status } = await new Browser().ask("/sign-up/email", {
      ...{ email: "same@example.org", password: PASSWORD, name: "Same" },
    });
    counts.push([app.created.length, status, countOf("user")]);
    app.connection.close();
  }
  assert.equal(counts.length, 5);
  return counts;
});
await suite.end();
