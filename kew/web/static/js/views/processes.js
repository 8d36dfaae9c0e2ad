// The processes that work on queues of this namespace.

import { get } from "../api.js";
import { h } from "../dom.js";
import { ago, count, duration, instant, now, num, sum } from "../format.js";
import { chip, empty, href, state } from "../parts.js";

export const title = () => "Processes";
export const every = true;

export async function load({ app, signal }) {
  const found = await get(["processes"], {}, signal);
  const processes = (Array.isArray(found) ? found : found.processes || []).map(processOf);
  app.processCount = processes.length;
  return processes;
}

function processOf(raw) {
  const queues = raw.queues || [];
  const isKnown = queues.some(({ running }) => typeof running === "number");
  return {
    id: String(raw.id),
    name: String(raw.name ?? raw.id),
    place: raw.pid === null || raw.pid === undefined ? String(raw.host ?? "") : `${raw.host}:${raw.pid}`,
    queues: queues.map((each) => String(each.queue)),
    used: isKnown ? sum(queues.map(({ running }) => running)) : null,
    lag: raw.loop_lag ?? null,
    version: raw.version ?? "",
    functions: raw.functions || [],
    heardAt: instant(raw.heartbeat_time),
    startedAt: instant(raw.started_time),
    long: raw.long_tasks || [],
  };
}

export const head = () => h("div", { class: "head", key: "head" }, h("h1", {}, "Processes"));

const LONG_SHOWN = 3;
const SILENT_MS = 45_000; // a heartbeat comes every 20 s

function stateOf(process) {
  if (process.heardAt !== null && now() - process.heardAt > SILENT_MS) return { tone: "amber", text: "silent" };
  if (process.lag !== null && process.lag > 0.5) return { tone: "amber", text: "its loop lags" };
  return { tone: "green", text: "working" };
}

export function draw({ data: processes }) {
  return h(
    "div", { class: "stack", key: "processes" },
    h("div", { class: "head", key: "head" }, h("h1", {}, "Processes"), h("span", { class: "soft" }, count(processes.length, "process", "processes"))),
    processes.length
      ? h(
          "section", { class: "card", "aria-label": "Processes", key: "list" },
          h(
            "table", { class: "rows" },
            h("thead", {}, h("tr", {}, ["Process", "Queues"].map((text) => h("th", { scope: "col" }, text)), ["Running", "Loop lag", "Version", "Started", "Last heard"].map((text) => h("th", { scope: "col", class: "right" }, text)))),
            h("tbody", {}, processes.map(row)),
          ),
        )
      : h("div", { class: "card", key: "none" }, empty("No process works here", "Start your program, or ", h("code", {}, "kew worker module:manager"), ". Tasks wait until then.")),
  );
}

function row(process) {
  return h(
    "tr", { key: process.id, "data-row": true, tabindex: "-1" },
    h("th", { scope: "row", class: "main" }, h("span", { class: "name mono wrap" }, process.name), process.place && process.place !== process.name ? h("span", { class: "soft small mono wrap" }, ` ${process.place}`) : null, state(stateOf(process), { class: "small" }), longTasks(process)),
    h("td", { "data-label": "Queues" }, h("span", { class: "chips" }, process.queues.map((each) => h("a", { href: href("queue", each), key: each }, chip(each))))),
    h("td", { class: "right num", "data-label": "Running" }, num(process.used)),
    h("td", { class: "right num", "data-label": "Loop lag" }, process.lag === null ? "–" : duration(process.lag)),
    h("td", { class: "right num soft", "data-label": "Version" }, process.version || "–"),
    h("td", { class: "right num soft", "data-label": "Started" }, ago(process.startedAt)),
    h("td", { class: "right num", "data-label": "Last heard" }, ago(process.heardAt)),
  );
}

/** What has run for long, and where it is now: the first few, and how many more. */
function longTasks({ long }) {
  if (!long.length) return null;
  const more = long.length - LONG_SHOWN;
  return h("ul", { class: "long" }, long.slice(0, LONG_SHOWN).map((each) => h("li", { key: each.task_id, class: "wrap" }, h("a", { href: href("task", each.task_id) }, chip(each.task_id)), h("span", { class: "soft" }, ` has run for ${duration(each.seconds)}${each.where ? ` at ${each.where}` : ""}`))), more > 0 ? h("li", { key: " more", class: "soft" }, `and ${num(more)} more`) : null);
}
