import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { Child } from "./helpers/child.ts";
import { Random } from "./helpers/random.ts";
import { mountWrapper } from "./helpers/small_disk.ts";

const ROUNDS = process.env.SQLITE3ASYNC_TEST_FULL === undefined ? 10 : 500;

const wrapper = mountWrapper();
const skip = wrapper === undefined &&
  "mounting a small file system takes Linux and root, or unshare";
const program = new URL("./helpers/full_disk.ts", import.meta.url).href;

test(`a disk that is full loses nothing that was told to be safe: ${ROUNDS} rounds`, {
  skip,
}, async (context) => {
  const { seed } = Random.announced("full_disk");
  using child = new Child(
    `
      const { rounds } = await import(${JSON.stringify(program)});
      await rounds(${seed}, ${ROUNDS});
      process.exit(0);
    `,
    {},
    [],
    wrapper,
  );
  const { code, stdout, stderr } = await child.ended(ROUNDS * 10_000);
  assert.deepEqual([code, stderr], [0, ""], stdout);
  context.diagnostic?.(stdout);
  const done: Record<string, number> = JSON.parse(stdout.match(/^done (.*)$/m)![1]!);
  assert.equal(Object.values(done).reduce((sum, n) => sum + n), ROUNDS, stdout);
});
