// The processes that work on queues of this namespace.

import { get } from "../api.js";
import { h } from "../dom.js";
import { ago, count, duration, instant, now, num } from "../format.js";
import { chip, empty, href, slots, state } from "../parts.js";

export const title = () => "Processes";
export const every = true;

export async function load({ app, signal }) {
  const found = await get(["processes"], {}, signal);
  const processes = (Array.isArray(found) ? found : found.processes || []).map(processOf);
  app.processCount = processes.length;
  return processes;
}

function processOf(raw) {
  const queues = Array.isArray(raw.queues) ? raw.queues.map((each) => (typeof each === "string" ? { name: each } : each)) : Object.entries(raw.queues || {}).map(([name, each]) => (typeof each === "object" && each ? { name, ...each } : { name, slots: each }));
  return {
    id: String(raw.process ?? raw.place ?? raw.address ?? raw.incarnation ?? raw.name ?? ""),
    name: raw.name ?? raw.process_name ?? "",
    queues,
    used: raw.running ?? raw.slots_used ?? raw.current_workers ?? queues.reduce((total, each) => total + (each.running ?? each.held ?? 0), 0),
    limit: raw.slots ?? raw.max_concurrency ?? null,
    lag: raw.loop_lag ?? raw.lag ?? null,
    version: raw.version ?? "",
    heardAt: instant(raw.last_heartbeat ?? raw.last_seen ?? raw.heard_time ?? raw.last_heard ?? raw.heartbeat_time),
    startedAt: instant(raw.started ?? raw.started_time ?? raw.since),
  };
}

export const head = () => h("div", { class: "head", key: "head" }, h("h1", {}, "Processes"));

const SILENT_MS = 20_000;

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
            h("thead", {}, h("tr", {}, ["Process", "Queues", "Running"].map((text) => h("th", { scope: "col" }, text)), ["Loop lag", "Version", "Started", "Last heard"].map((text) => h("th", { scope: "col", class: "right" }, text)))),
            h("tbody", {}, processes.map(row)),
          ),
        )
      : h("div", { class: "card", key: "none" }, empty("No process works here", "Start your program, or ", h("code", {}, "kew worker module:manager"), ". Tasks wait until then.")),
  );
}

function row(process) {
  return h(
    "tr", { key: process.id, "data-row": true, tabindex: "-1" },
    h("th", { scope: "row", class: "main" }, h("span", { class: "name mono wrap" }, process.name && process.name !== process.id ? `${process.name} ` : process.id), process.name && process.name !== process.id ? h("span", { class: "soft small mono" }, process.id) : null, state(stateOf(process), { class: "small" })),
    h("td", { "data-label": "Queues" }, h("span", { class: "chips" }, process.queues.map((each) => h("a", { href: href("queue", each.name), key: each.name }, chip(each.name))))),
    h("td", { "data-label": "Running" }, process.limit ? slots(process.used, process.limit) : h("span", { class: "num" }, num(process.used))),
    h("td", { class: "right num", "data-label": "Loop lag" }, process.lag === null ? "–" : duration(process.lag)),
    h("td", { class: "right num soft", "data-label": "Version" }, process.version || "–"),
    h("td", { class: "right num soft", "data-label": "Started" }, ago(process.startedAt)),
    h("td", { class: "right num", "data-label": "Last heard" }, ago(process.heardAt)),
  );
}
