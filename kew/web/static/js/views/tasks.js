// Tasks of a queue: search by state, function, type, key and time of the submit; open one by id; cancel or replay those that are chosen.

import * as actions from "../actions.js";
import { get } from "../api.js";
import { h } from "../dom.js";
import { count, inputTime, instant } from "../format.js";
import { taskOf } from "../model.js";
import { button, empty, taskHead, taskRow } from "../parts.js";

export const title = () => "Tasks";
export const every = true;

const STATES = [
  ["", "Any state"], ["running", "Running"], ["waiting", "Waiting"], ["ready", "Ready to start"], ["deferred", "Due later"], ["stuck", "Of unknown functions"], ["failed", "Failed for good"],
];
const PAGE = 50;
const FILTERS = ["state", "function", "type", "key", "since", "until"];

export const queueOf = ({ options, app }) => options.queue || app.queues?.[0]?.name || "";

export async function load(view) {
  const queue = queueOf(view);
  if (!queue) return { tasks: [], cursor: null };
  return readPage(queue, view.options, view.signal);
}

/** A page of tasks as the filters say. */
export async function readPage(queue, options, signal, limit = PAGE) {
  const { state, function: named, type, key, since, until, cursor } = options;
  const found = await get(["queues", queue, "tasks"], { state, function: named, task_type: type, key, submitted_since: since, submitted_until: until, cursor, limit }, signal);
  return { tasks: (found.tasks || []).map(taskOf), cursor: found.cursor ?? null };
}

export const head = () => h("div", { class: "head", key: "head" }, h("h1", {}, "Tasks"));

export function draw(view) {
  const { app } = view;
  const queue = queueOf(view);
  return h(
    "div", { class: "stack", key: "tasks" },
    h("div", { class: "head", key: "head" }, h("h1", {}, "Tasks"), queue ? h("span", { class: "soft wrap" }, `of ${queue}`) : null),
    app.queues?.length ? list(view, queue, { picksQueue: true }) : h("div", { class: "card" }, empty("No queues yet", "Tasks appear here when there is a queue.")),
  );
}

/** The filters, the table, the bulk actions and the pages. The queue's page shows it, too. */
export function list(view, queue, { picksQueue = false } = {}) {
  const { app, options, memory, data } = view;
  const found = data.page || data;
  const chosen = (memory.chosen ||= new Map());
  const shown = found.tasks;
  for (const id of [...chosen.keys()]) {
    const fresh = shown.find((task) => task.id === id);
    if (fresh) chosen.set(id, fresh);
    else chosen.delete(id);
  }
  const change = (more) => {
    const { cursor: _cursor, ...rest } = options;
    chosen.clear();
    app.setOptions({ ...rest, ...more });
  };
  const onCheck = (task, isChosen) => {
    if (isChosen) chosen.set(task.id, task);
    else chosen.delete(task.id);
    app.redraw();
  };
  const onAll = (isChosen) => {
    chosen.clear();
    if (isChosen) for (const task of shown) chosen.set(task.id, task);
    app.redraw();
  };
  const canChoose = app.canChange && shown.length > 0;
  return h(
    "section", { class: "card tasks", "aria-label": "Tasks", key: "list" },
    filters(view, queue, picksQueue, change),
    chosen.size ? bulkBar(app, [...chosen.values()], () => { chosen.clear(); }) : null,
    shown.length
      ? h("table", { class: "rows" }, taskHead(canChoose ? { all: chosen.size === shown.length, onAll } : {}), h("tbody", {}, shown.map((task) => taskRow(task, canChoose ? { checked: chosen.has(task.id), onCheck: (value) => onCheck(task, value) } : {}))))
      : empty("No task fits", found.cursor ? "This page has none; the next may." : "Try other filters, or look a task up by its id."),
    pages(options, found.cursor, change, app),
  );
}

function filters(view, queue, picksQueue, change) {
  const { app, options } = view;
  const typed = (name, label) =>
    h("input", { type: "search", key: name, placeholder: label, "aria-label": label, set: { value: options[name] || "" }, on: { change: (event) => change({ [name]: event.target.value.trim() }) } });
  return h(
    "form", { class: "filters", role: "search", "aria-label": "Filter tasks", on: { submit: (event) => event.preventDefault() } },
    picksQueue
      ? h("select", { "aria-label": "Queue", key: "queue", set: { value: queue }, on: { change: (event) => change({ queue: event.target.value }) } }, app.queues.map(({ name }) => h("option", { value: name, key: name, selected: name === queue }, name)))
      : null,
    h("select", { "aria-label": "State", key: "state", set: { value: options.state || "" }, on: { change: (event) => change({ state: event.target.value }) } }, STATES.map(([value, text]) => h("option", { value, key: value, selected: value === (options.state || "") }, text))),
    typed("function", "Function"),
    typed("type", "Type"),
    typed("key", "Key"),
    h("input", { type: "search", key: "id", class: "grow", placeholder: "Task id", "aria-label": "Open a task by its id", on: { keydown: (event) => { if (event.key === "Enter" && event.target.value.trim()) location.hash = `#/task/${encodeURIComponent(event.target.value.trim())}`; } } }),
    h("span", { class: "times", key: "times" }, time(options, change, "since", "Submitted from"), time(options, change, "until", "until")),
    FILTERS.some((name) => options[name]) ? button("Clear filters", () => change(Object.fromEntries(FILTERS.map((name) => [name, ""]))), { kind: "quiet", key: "clear" }) : null,
  );
}

/** A time of the submit, in the time zone of the browser. */
function time(options, change, name, label) {
  const at = instant(options[name]);
  const chosen = (event) => change({ [name]: event.target.value ? new Date(event.target.value).toISOString() : "" });
  return h("label", { class: "time-filter", key: name }, label, h("input", { type: "datetime-local", "aria-label": name === "since" ? "Submitted from" : "Submitted until", set: { value: at === null ? "" : inputTime(at) }, on: { change: chosen } }));
}

function bulkBar(app, chosen, clear) {
  const run = (verb) => actions.bulk(app, verb, chosen).then((done) => { if (done) { clear(); app.redraw(); } });
  return h(
    "div", { class: "bulk", role: "group", "aria-label": "What to do with the chosen tasks" },
    h("span", {}, h("b", {}, count(chosen.length, "task")), " chosen"),
    h("div", { class: "buttons" }, button("Replay…", () => run("replay")), button("Cancel…", () => run("cancel")), button("Clear", () => { clear(); app.redraw(); }, { kind: "quiet" })),
  );
}

function pages(options, cursor, change, app) {
  if (!cursor && !options.cursor) return null;
  return h(
    "div", { class: "pages" },
    options.cursor ? button("First page", () => change({})) : null,
    cursor ? button("Next page", () => app.setOptions({ ...options, cursor })) : h("span", { class: "soft small" }, "This is the last page."),
  );
}
