/**
 * The report: one file with tables and charts, that needs no network and runs no
 * script. The charts are drawn by ECharts, as SVG.
 *
 * @module
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { isReached, verdict } from "./print.ts";
import type { Results, Run } from "./results.ts";
import type { Axis, Chart, Line } from "./workload.ts";

/** The part of ECharts that is used here. */
interface ECharts {
  init(
    element: null,
    theme: null,
    options: { renderer: "svg"; ssr: true; width: number; height: number },
  ): { setOption(option: unknown): void; renderToSVGString(): string; dispose(): void };
}

/** More in one chart can't be told apart. */
const LINES_MAX = 14;
const WIDTH = 900;
const HEIGHT = 460;

/** Told apart by people who see few colours, too: https://jfly.uni-koeln.de/color/ and darker. */
const COLOURS = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#7f3c8d",
  "#666666",
  "#a5aa00",
  "#8c510a",
  "#01665e",
  "#000000",
];
const DASHES: Record<string, string> = { Deno: "solid", Bun: "dashed", Node: "dotted" };

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; }
td, th { padding: 2px 10px; text-align: right; border-bottom: 1px solid #ddd; }
td { white-space: nowrap; }
td:first-child, th:first-child { text-align: left; }
.ok { color: #00704f; } .missed { color: #b23a00; font-weight: 600; }
ul.targets { list-style: none; padding: 0; font: 13px/1.6 ui-monospace, monospace; }
svg { max-width: 100%; height: auto; }`;

/** The whole report. */
export function html({ machine, quick, runs }: Results): string {
  const names = [...new Set(runs.map(({ workload }) => workload.name))];
  const sections = names.map((name) =>
    section(runs.filter(({ workload }) => workload.name === name))
  );
  const facts = Object.entries(machine).map(([name, fact]) =>
    `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(fact)}</td></tr>`
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>sqlite3async: the bench</title>
<style>${STYLE}</style></head><body>
<h1>sqlite3async: the bench</h1>
<p>Contenders took turns, round by round, in one run${
    quick ? " with fewer and shorter rounds (--quick)" : ""
  }. Figures are medians of the rounds; percentiles are over all rounds; ratios were taken within
each round. The columns <em>SIGKILL</em> and <em>power cut</em> say what is left of the commits that
the caller was told of, after the end of the process or of the power: compare like with like.
In the charts a contender has one colour, and a runtime one kind of line.</p>
<table>${facts.join("")}</table>
<nav>${names.map((name) => `<a href="#${name}">${name}</a>`).join(" | ")}</nav>
${sections.join("\n")}
</body></html>
`;
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

/** Text as HTML. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => ENTITIES[character]!);
}

function section(runs: Run[]): string {
  const { name, about } = runs[0]!.workload;
  const parts = runs.map(({ variant, report }) =>
    `<h3>${escapeHtml(variant)}</h3>
${table(report.table)}${
      report.targets.length === 0
        ? ""
        : `<ul class="targets">${
          report.targets.map((target) =>
            `<li class="${isReached(target) ? "ok" : "missed"}">${escapeHtml(verdict(target))}</li>`
          ).join("")
        }</ul>`
    }`
  );
  return `<h2 id="${name}">${name}: ${escapeHtml(about)}</h2>
${mergedCharts(runs).map(draw).join("\n")}
${parts.join("\n")}`;
}

function table([headings, ...lines]: string[][]): string {
  const row = (cells: string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  return `<table>${row(headings!, "th")}${lines.map((line) => row(line, "td")).join("")}</table>`;
}

/** Those of one title as one, unless that would be too many lines; each with its runtime's name. */
function mergedCharts(runs: Run[]): Chart[] {
  const linesOf = (title: string) =>
    runs.flatMap(({ report }) => report.charts ?? []).filter((chart) => chart.title === title)
      .flatMap(({ lines }) => lines).length;
  const merged = new Map<string, Chart>();
  for (const { variant, report } of runs) {
    for (const chart of report.charts ?? []) {
      const title = linesOf(chart.title) > LINES_MAX ? `${variant}: ${chart.title}` : chart.title;
      const all = merged.get(title) ?? { ...chart, title, lines: [] };
      merged.set(title, all);
      const lines = chart.lines.map((line) => ({ ...line, name: `${variant}: ${line.name}` }));
      all.lines = [...all.lines, ...lines];
    }
  }
  return [...merged.values()].filter(({ lines }) => lines.length > 0);
}

/** A part from 0 to 1 as its number of nines. */
const nines = (part: number) => -Math.log10(1 - part);

function axis({ name, scale }: Axis): Record<string, unknown> {
  if (scale === "percentile") {
    const label = (value: number) => `${Number((100 * (1 - 10 ** -value)).toPrecision(6))}`;
    return { type: "value", name, minInterval: 1, axisLabel: { formatter: label } };
  }
  return {
    type: scale === "logarithmic" ? "log" : "value",
    name,
    ...(scale === "logarithmic" ? { min: "dataMin" } : {}),
  };
}

function series(chart: Chart): Record<string, unknown>[] {
  return chart.lines.map((line) => {
    const [variant] = line.name.split(": ");
    const points = chart.x.scale === "percentile"
      ? line.points.map(([part, y]) => [nines(part), y])
      : line.points;
    return {
      type: "line",
      name: line.name,
      data: points,
      color: colourOf(contenderOf(line)),
      symbolSize: points.length > 20 ? 0 : 5,
      lineStyle: { width: 2, type: DASHES[variant!] ?? "solid" },
    };
  });
}

const coloured: string[] = [];

/** The same in all charts. */
function colourOf(contender: string): string {
  if (!coloured.includes(contender)) coloured.push(contender);
  return COLOURS[coloured.indexOf(contender) % COLOURS.length]!;
}

function contenderOf({ name }: Line): string {
  return name.slice(name.indexOf(": ") + 2);
}

function draw(chart: Chart): string {
  const echarts = load();
  const legendLines = Math.ceil(chart.lines.length / 4);
  const height = HEIGHT + 22 * legendLines;
  const drawing = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  drawing.setOption({
    animation: false,
    title: { text: chart.title, left: "center" },
    legend: { bottom: 0, type: "plain", itemWidth: 34 },
    grid: { left: 80, right: 40, top: 60, bottom: 60 + 22 * legendLines },
    xAxis: { ...axis(chart.x), nameLocation: "middle", nameGap: 28 },
    yAxis: { ...axis(chart.y), nameLocation: "middle", nameGap: 60 },
    series: series(chart),
  });
  const svg = drawing.renderToSVGString();
  drawing.dispose();
  return svg;
}

let loaded: ECharts | undefined;

function load(): ECharts {
  const folder = process.env["ECHARTS_DIR"];
  if (folder === undefined) throw new Error("ECHARTS_DIR is not set: type ./run bench");
  loaded ??= createRequire(join(folder, "package.json"))("echarts") as ECharts;
  return loaded;
}
