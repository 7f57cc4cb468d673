/** Of the bench, what is easy to get wrong. @module */
import assert from "node:assert/strict";
import { test } from "node:test";
import { percentiles } from "../bench/charts.ts";
import { escapeHtml } from "../bench/html.ts";
import { isReached } from "../bench/print.ts";
import { median, percentile, ratios, target } from "../bench/statistics.ts";
import { takeTurns } from "../bench/turns.ts";

const TIMEOUTS = { roundMs: 10_000, allMs: 20_000 };

test("a percentile has that part of the samples below it", () => {
  const samples = Array.from({ length: 1000 }, (_, i) => (i * 7) % 1000); // 0 to 999, in disorder
  assert.equal(percentile(samples, 0), 0);
  assert.equal(percentile(samples, 0.5), 500);
  assert.equal(percentile(samples, 0.999), 999);
  assert.equal(percentile(samples, 1), 999);
  assert.equal(percentile([3], 0.5), 3);
  assert.throws(() => percentile([], 0.5));
});

test("a median is the middle one, or between the two", () => {
  assert.equal(median([9, 1, 10]), 9); // numbers, not their text, are sorted
  assert.equal(median([4, 1, 3, 2]), 2.5);
});

test("a ratio is one of medians, taken within each round", () => {
  const series = { over: [[10, 20, 30], [1, 1, 1]], under: [[10, 10, 10], [2, 2, 2]] };
  assert.deepEqual(ratios(series, "over", "under"), [2, 0.5]);
  const { value, spread } = target("", ratios(series, "over", "under"), "at most", 1);
  assert.deepEqual([value, spread], [1.25, [0.5, 2]]);
  assert.throws(() => ratios(series, "over", "missing"));
});

test("a bound itself is reached", () => {
  assert.ok(isReached(target("", [2], "at most", 2)));
  assert.ok(isReached(target("", [2], "at least", 2)));
  assert.ok(!isReached(target("", [2.1], "at most", 2)));
  assert.ok(!isReached(target("", [1.9], "at least", 2)));
});

test("a curve of percentiles ends where there are no samples for a further 9", () => {
  const samples = Array.from({ length: 100 }, (_, i) => i + 1);
  const [line] = percentiles("", { name: [samples] }, ["name", "missing"]).lines;
  assert.deepEqual(line!.points[0], [0, 0.001]);
  assert.deepEqual(line!.points.at(-1), [0.99, 0.1]);
});

test("text becomes no markup", () => {
  assert.equal(escapeHtml(`<b a="1">&</b>`), "&lt;b a=&quot;1&quot;&gt;&amp;&lt;/b&gt;");
});

/** A program that answers so many times with what it has counted, and then does something. */
function fake(rounds: number, then = "exit 0"): string[] {
  const answer = `echo "{\\"series\\":\\"n\\",\\"samples\\":[$n]}"; echo "{\\"round\\":$n}"`;
  const loop = `for ((n = 0; n < ${rounds}; n++)); do read -r; ${answer}; done; read -r; ${then}`;
  return ["bash", "-c", loop];
}

/** What they did, in order: "a0" is a's first round, "b!" that b failed; and why. */
async function turnsOf(commands: [string, string[]][], timeouts = TIMEOUTS) {
  const order: string[] = [];
  const reasons: string[] = [];
  await takeTurns(commands, (name, { n }) => order.push(`${name}${n}`), (name, error) => {
    order.push(`${name}!`);
    reasons.push(error.message);
  }, timeouts);
  return { order: order.join(" "), reason: reasons.join("\n") };
}

test("programs take turns, also when one has fewer rounds", async () => {
  const { order } = await turnsOf([["a", fake(3)], ["b", fake(1)], ["c", fake(2)]]);
  assert.equal(order, "a0 b0 c0 a1 c1 a2");
});

test("one that fails says why, and the others go on", async () => {
  const failing: [string[], RegExp][] = [
    [fake(1, "echo the reason >&2; exit 3"), /^exit code 3[^]*the reason/],
    [fake(1, `echo '{"series":"n","samples":[9]}'`), /within a round/],
    [fake(1, "kill -SEGV $$"), /SIGSEGV/],
  ];
  for (const [command, reason] of failing) {
    const turns = await turnsOf([["a", command], ["b", fake(2)]]);
    assert.equal(turns.order, "a0 b0 a! b1");
    assert.match(turns.reason, reason);
  }
});

test("one that is not there, or reads nothing, does no harm to the others", async () => {
  for (const command of [["sqlite3async-is-no-program"], ["bash", "-c", "exec <&-; exit 1"]]) {
    const { order } = await turnsOf([["a", command], ["b", fake(2)]]);
    assert.equal(order, "a! b0 b1");
  }
});

test("one that hangs is ended, with what it started", async () => {
  const hanging = fake(1, "sleep 60 & wait");
  const timeouts = { ...TIMEOUTS, roundMs: 2000 };
  const startMs = performance.now();
  const { order, reason } = await turnsOf([["a", hanging], ["b", fake(2)]], timeouts);
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs < 30_000, `${tookMs} ms: what it started had its pipes open`);
  assert.equal(order, "a0 b0 a! b1");
  assert.match(reason, /no end of a round after 2 s/);
});
