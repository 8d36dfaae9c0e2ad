// All queues, what needs attention first.

import * as actions from "../actions.js";
import { get } from "../api.js";
import { h } from "../dom.js";
import { count, duration, num, perMinute, short, sum } from "../format.js";
import { codeWords, historyOf, latest, pace, stateOf, wholeSteps } from "../model.js";
import { button, chip, empty, href, linkButton, menuOf, meter, prose, sentence, slots, sparkline, state } from "../parts.js";

export const follows = "queues";
export const title = () => "Overview";

const FRESH_MS = 55_000;
const AT_ONCE = 4;
const histories = new Map(); // name -> {at, history}
let order = [];
let filter = "";

/** The last hour of each queue, read at most once a minute and a few at a time. */
export async function load({ app, signal }) {
  const wanted = (app.queues || []).filter(({ name, history }) => !history && Date.now() - (histories.get(name)?.at || 0) > FRESH_MS);
  const one = async () => {
    for (let queue = wanted.shift(); queue; queue = wanted.shift()) {
      const found = await get(["queues", queue.name, "history"], { span: 3600 }, signal).catch((error) => {
        if (error.name === "AbortError") throw error;
        return null;
      });
      if (found) histories.set(queue.name, { at: Date.now(), history: historyOf(found) });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return true;
}

export const every = true;

const lastHour = (queue) => queue.history || histories.get(queue.name)?.history || null;

export const head = ({ app } = {}) => heading(app);

function heading(app) {
  const words = [];
  if (app?.queues) words.push(count(app.queues.length, "queue"));
  if (app?.processCount !== null && app?.processCount !== undefined) words.push(count(app.processCount, "process", "processes"));
  words.push("last hour");
  return h("div", { class: "head", key: "head" }, h("h1", {}, "Overview"), h("span", { class: "soft" }, words.join(" · ")));
}

export function draw({ app }) {
  const queues = app.queues || [];
  return h(
    "div", { class: "stack overview", key: "overview" },
    heading(app),
    attention(app),
    queues.length ? tiles(queues) : null,
    queues.length ? table(app, queues) : h("div", { class: "card", key: "none" }, empty("No queues yet", "A queue appears here when a process calls ", h("code", {}, "create_queue"), " with this store and namespace.")),
  );
}

// --- attention

function attention(app) {
  if (!app.attention.length) return null;
  const shown = app.attention.slice(0, 6);
  const more = app.attention.length - shown.length;
  return h(
    "section", { class: "attention", "aria-label": "What needs attention", key: "attention" },
    shown.map((each) => card(app, each)),
    more > 0 ? h("p", { class: "soft more" }, `and ${num(more)} more, marked in the list below`) : null,
  );
}

function card(app, notice) {
  const { queue, code, tone } = notice;
  const hasOwn = queue && notice.text.startsWith(`${queue}: `);
  const text = hasOwn ? notice.text.slice(queue.length + 2) : notice.text;
  return h(
    "article", { class: `card notice-card ${tone}`, key: `${queue} ${code}` },
    h("h2", {}, h("span", { class: "dot", "aria-hidden": "true" }), h("span", { class: "hidden" }, `${notice.severity}: `), queue ? h("span", { class: "wrap" }, `${queue}: ${codeWords(code)}`) : codeWords(code)),
    h("p", { class: "soft wrap" }, prose(sentence(text))),
    notice.action ? h("p", { class: "small" }, notice.action.startsWith("kew ") ? chip(notice.action) : sentence(notice.action)) : null,
    h("div", { class: "buttons" }, ways(app, notice)),
  );
}

function ways(app, { queue, code }) {
  const main = { kind: "main" };
  const changes = (...buttons) => (app.canChange ? buttons : []);
  const toQueue = (text = "Show the queue") => linkButton(text, href("queue", queue), main);
  if (!queue) return [linkButton("Show the processes", "#/processes", main)];
  if (code.startsWith("breaker")) return [toQueue("Show the failures"), ...changes(button("Close now", () => actions.closeBreaker(app, queue)))];
  if (code.includes("full") && !code.startsWith("slots") && !code.startsWith("key"))
    return [linkButton("Show what waits", `#/tasks?queue=${encodeURIComponent(queue)}`, main), ...changes(button("Purge…", () => actions.purge(app, queue)))];
  if (code === "paused" || code === "draining" || code === "queue_snoozed") return [toQueue(), ...changes(button("Resume", () => actions.resume(app, queue)))];
  if (code.includes("process")) return [toQueue(), linkButton("Processes", "#/processes")];
  if (code.startsWith("dead")) return [linkButton("Show why", `#/dead?queue=${encodeURIComponent(queue)}`, main)];
  if (code.startsWith("function") || code.startsWith("stuck")) return [linkButton("Show the tasks", `#/tasks?queue=${encodeURIComponent(queue)}`, main)];
  return [toQueue()];
}

// --- tiles

/** Per minute, over all queues; aligned at the end, since all end now. */
function together(queues, name, fold) {
  const all = queues.map((queue) => lastHour(queue)?.[name]).filter((values) => values?.length);
  const most = Math.max(0, ...all.map((values) => values.length));
  return Array.from({ length: most }, (_, place) => fold(all.map((values) => values[values.length - most + place]).filter((value) => typeof value === "number")));
}

const greatest = (values) => (values.length ? Math.max(...values) : null);

function tiles(queues) {
  const completed = together(queues, "completed", sum);
  const failed = together(queues, "failed", sum);
  const waits = together(queues, "wait_p95", greatest);
  const used = queues.reduce((total, queue) => total + queue.used, 0);
  const limit = queues.reduce((total, queue) => total + queue.limit, 0);
  const isKnown = queues.some(lastHour);
  const failures = sum(failed) ?? 0;
  return h(
    "section", { class: "tiles", "aria-label": "All queues", key: "tiles" },
    tile("Completed, last hour", isKnown ? num(sum(completed) ?? 0) : "–", sparkline(wholeSteps(completed), { width: 320, height: 36, bare: true })),
    tile("Longest wait, 95 %", duration(latest({ waits, step: 60 }, "waits") ?? (isKnown ? 0 : null)), sparkline(waits, { tone: "blue", width: 320, height: 36, bare: true })),
    tile("Failed for good, last hour", isKnown ? num(failures) : "–", sparkline(wholeSteps(failed), { tone: failures ? "red" : "grey", width: 320, height: 36, bare: true })),
    tile("Slots in use", [num(used), h("span", { class: "of soft" }, ` of ${num(limit)}`)], h("div", { class: "tile-bar" }, meter(used, limit, { label: "" }))),
  );
}

const tile = (label, value, below) => h("div", { class: "card tile", key: label }, h("p", { class: "small soft" }, label), h("p", { class: "figure" }, value), below);

// --- rows

const RANK = { red: 0, amber: 1, blue: 2 };

/** What needs attention first, then by name. The order stays while someone points at a row. */
function ordered(app, queues) {
  const body = document.querySelector(".queues tbody");
  const isBusy = body && (body.matches(":hover") || body.contains(document.activeElement));
  const known = new Set(queues.map(({ name }) => name));
  const isSame = order.length === known.size && order.every((name) => known.has(name));
  if (!isBusy || !isSame) {
    const urgent = new Map();
    for (const { queue, tone } of [...app.attention].reverse()) urgent.set(queue, tone);
    const rank = (queue) => Math.min(RANK[urgent.get(queue.name)] ?? 3, RANK[stateOf(queue).tone] ?? 3);
    order = [...queues].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1)).map(({ name }) => name);
  }
  const byName = new Map(queues.map((queue) => [queue.name, queue]));
  return order.map((name) => byName.get(name));
}

const HEADS = [
  ["Queue", ""], ["Throughput", ""], ["Now", "right"], ["Wait, 95 %", "wait-head"], ["Waiting", ""], ["Slots", ""], ["Failed, 1 h", "right"],
];

function table(app, queues) {
  const words = filter.trim().toLowerCase();
  const shown = ordered(app, queues).filter(({ name }) => name.toLowerCase().includes(words));
  const filters = queues.length > 10
    ? h("div", { class: "card-head" }, h("h2", {}, "Queues"), h("input", { type: "search", class: "push", "aria-label": "Filter the queues", placeholder: "Filter", set: { value: filter }, on: { input: (event) => { filter = event.target.value; app.redraw(); } } }))
    : null;
  return h(
    "section", { class: "card queues", "aria-label": "Queues", key: "queues" },
    filters,
    h(
      "table", { class: "rows" },
      h("thead", {}, h("tr", {}, HEADS.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)), h("th", { scope: "col" }, h("span", { class: "hidden" }, "Actions")))),
      h("tbody", {}, shown.map((queue) => row(app, queue))),
    ),
    shown.length ? null : empty("No queue has this in its name"),
  );
}

function row(app, queue) {
  const history = lastHour(queue);
  const said = stateOf(queue);
  const isWell = said.tone === "green";
  const now = pace(history, "completed", 1);
  const wait = latest(history, "wait_p95");
  const failed = sum(history?.failed || []) ?? null;
  return h(
    "tr", { key: queue.name, "data-row": true },
    h("th", { scope: "row", class: "main" }, h("a", { class: "row-link name", href: href("queue", queue.name) }, queue.name), state(said, { class: "small" })),
    h("td", { class: "spark-cell" }, sparkline(wholeSteps(history?.completed), { tone: said.tone, label: `Completed per minute, last hour: now ${perMinute(now)}` })),
    h("td", { class: "right num early", "data-label": "Now" }, perMinute(now), h("span", { class: "unit" }, "/min")),
    h("td", { class: "wait-cell early", "data-label": "Wait, 95 %" }, sparkline(history?.wait_p95, { tone: "blue", width: 64, height: 22, bare: true }), h("span", { class: "num" }, duration(wait))),
    h("td", { class: "half", "data-label": "Waiting" }, meter(queue.waiting, queue.maxSize, { tone: isWell ? "green" : said.tone, label: short(queue.waiting), title: queue.maxSize ? `${num(queue.waiting)} of ${num(queue.maxSize)}` : num(queue.waiting) })),
    h("td", { class: "half", "data-label": "Slots" }, slots(queue.used, queue.limit)),
    h("td", { class: `right num early ${failed ? "red tone" : "soft"}`, "data-label": "Failed, 1 h" }, failed ? num(failed) : failed === null ? "–" : "·"),
    h("td", { class: "menu-cell" }, app.canChange ? menu(app, queue) : null),
  );
}

function menu(app, queue) {
  const isHeld = queue.paused || queue.draining || queue.snoozedUntil;
  return menuOf(`Actions for ${queue.name}`, [
    isHeld ? ["Resume", () => actions.resume(app, queue.name)] : null,
    queue.paused ? null : ["Pause…", () => actions.pause(app, queue.name)],
    queue.draining ? null : ["Drain…", () => actions.drain(app, queue.name)],
    queue.breaker === "closed" ? null : ["Close the breaker…", () => actions.closeBreaker(app, queue.name)],
    queue.waiting ? ["Purge…", () => actions.purge(app, queue.name)] : null,
  ]);
}
