/** The table for the README. @module */
import type { Results, Run } from "./results.ts";

/** For each workload that has a summary: a line a contender, with what survives. */
export function markdown({ machine, runs }: Results): string {
  const names = [...new Set(runs.map(({ workload }) => workload.name))];
  const tables = names.map((name) => table(runs.filter(({ workload }) => workload.name === name)))
    .filter((text) => text !== "");
  const facts = Object.entries(machine).map(([name, fact]) => `${name} ${fact}`).join("; ");
  return [...tables, `${facts}.`].join("\n\n") + "\n";
}

function table(runs: Run[]): string {
  const lines = runs.flatMap(({ variant, report }) =>
    (report.summary ?? []).map((line) => ({ variant, ...line }))
  );
  if (lines.length === 0) return "";
  const headings = [...new Set(lines.flatMap(({ figures }) => Object.keys(figures)))];
  const rows = lines.map(({ variant, contender, survives, figures }) => [
    `${variant}: ${contender}`,
    ...headings.map((heading) => figures[heading] ?? ""),
    survives.kill,
    survives.power,
  ]);
  const all = [[runs[0]!.workload.name, ...headings, "survives SIGKILL", "a power cut"], ...rows];
  const text = all.map((cells) => `| ${cells.join(" | ")} |`);
  text.splice(1, 0, `|${" --- |".repeat(all[0]!.length)}`);
  return text.join("\n");
}
