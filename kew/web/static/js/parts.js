// Pieces that several views share.

import { h, s } from "./dom.js";
import { ago, duration, num } from "./format.js";
import { ENDED, statusOf } from "./model.js";

/** A link to a view: `href("queue", name)`. */
export const href = (...parts) => `#/${parts.map((part) => encodeURIComponent(part)).join("/")}`;

/** A dot and words in a tone. */
export function state({ tone, text }, props = {}) {
  return h("span", { ...props, class: `state ${tone} ${props.class || ""}` }, h("span", { class: "dot", "aria-hidden": "true" }), h("span", { class: "state-text" }, text));
}

export function button(text, onClick, { kind = "", disabled = false, title = null, ...rest } = {}) {
  return h("button", { type: "button", class: `button ${kind}`, disabled, title, ...rest, on: { click: onClick } }, text);
}

export function linkButton(text, to, { kind = "" } = {}) {
  return h("a", { class: `button ${kind}`, href: to }, text);
}

/** A bar with its number: how much of `most` there is. */
export function meter(value, most, { tone = "green", label = num(value), title = null } = {}) {
  const share = most ? Math.min(1, value / most) : 0;
  return h(
    "span", { class: `meter ${tone}`, title },
    h("span", { class: "bar", "aria-hidden": "true" }, h("span", { class: "fill", vars: { "--share": String(value > 0 ? Math.max(share, 0.02) : 0) } })),
    h("span", { class: "num" }, label),
  );
}

const MOST_SLOTS = 16;

/** Slots as slots; a bar if there are too many to draw. */
export function slots(used, limit) {
  const label = `${num(used)}/${num(limit)}`;
  if (limit > MOST_SLOTS) return meter(used, limit, { label, title: `${label} slots in use` });
  const marks = Array.from({ length: limit }, (_, place) => h("span", { class: place < used ? "slot used" : "slot" }));
  return h("span", { class: "slots", title: `${label} slots in use` }, h("span", { class: "marks", "aria-hidden": "true" }, marks), h("span", { class: "num" }, label));
}

/** A sparkline: an area with a line on top. `label` says in words what it shows. */
export function sparkline(values, { tone = "green", width = 132, height = 30, label = "", bare = false } = {}) {
  const points = (values || []).map((value) => (typeof value === "number" ? value : 0));
  const most = Math.max(...points, 0) || 1;
  const last = Math.max(points.length - 1, 1);
  const at = (value, place) => `${((place / last) * width).toFixed(1)},${(height - 1 - (value / most) * (height - 4)).toFixed(1)}`;
  const line = points.length > 1 ? points.map(at).join(" ") : `0,${height - 1} ${width},${height - 1}`;
  return s(
    "svg",
    {
      class: `spark ${tone}`, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none",
      ...(bare || !label ? { "aria-hidden": "true" } : { role: "img", "aria-label": label }),
    },
    s("polygon", { class: "spark-area", points: `0,${height} ${line} ${width},${height}` }),
    s("polyline", { class: "spark-line", points: line, "vector-effect": "non-scaling-stroke" }),
  );
}

export const chip = (text, props = {}) => h("code", props, text);

/** Text with `code` in backticks drawn as such. */
export function prose(text) {
  return String(text).split("`").map((part, place) => (place % 2 ? chip(part) : part));
}

/** With a capital and a full stop. */
export function sentence(text) {
  const words = String(text || "").trim();
  if (!words) return "";
  return `${words[0].toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;
}

/** A traceback, with its frames soft and its last line strong. */
export function traceback(text) {
  const lines = text.split("\n");
  while (lines.length && !lines.at(-1).trim()) lines.pop();
  return h(
    "pre", { class: "well traceback", tabindex: "0", "aria-label": "Traceback" },
    lines.map((line, place) => {
      const end = place < lines.length - 1 ? "\n" : "";
      if (/^\s+File "/.test(line)) return h("span", { class: "frame" }, line, end);
      if (/^[A-Za-z_][\w.]*(: |$)/.test(line) && !line.startsWith("Traceback")) return h("span", { class: "raised red tone" }, line, end);
      return h("span", {}, line, end);
    }),
  );
}

/** Nothing to show: a sentence, and what follows from it. */
export function empty(title, ...rest) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), rest.length ? h("p", { class: "soft" }, rest) : null);
}

/** What a page looks like before its first data. */
export function loading(text = "Loading…") {
  return h(
    "div", { class: "loading", "aria-busy": "true" }, h("p", { class: "hidden" }, text),
    [0, 1, 2].map((each) => h("div", { class: "skeleton", key: each, "aria-hidden": "true" })),
  );
}

/** A failure, and the way on. */
export function failure(problem, again) {
  return h(
    "div", { class: "card failure red", role: "alert" },
    h("h2", {}, h("span", { class: "dot" }), problem.title || "Something went wrong"),
    h("p", { class: "soft wrap" }, problem.message || String(problem)),
    again ? h("div", { class: "buttons" }, button("Try again", again)) : null,
  );
}

const place = (text) => String(text).replace(/^.*[\\/]/, "");

/** A row of a list of tasks. */
export function taskRow(task, { checked = null, onCheck = null, showsQueue = false } = {}) {
  const said = statusOf(task);
  const when = ENDED.has(task.status) ? task.endedAt : task.status === "processing" || task.status === "running" ? task.startedAt : task.queuedAt;
  return h(
    "tr", { key: task.id, "data-row": true },
    onCheck
      ? h("td", { class: "check" }, h("input", { type: "checkbox", "aria-label": `Select ${task.id}`, set: { checked }, on: { change: (event) => onCheck(event.target.checked) } }))
      : null,
    h("td", { class: "main" }, h("a", { class: "row-link mono", href: href("task", task.id) }, task.id), task.error && task.status !== "completed" ? h("div", { class: "row-error", title: task.error }, task.error) : null),
    h("td", { class: "half", "data-label": "Type" }, h("span", { class: "clip", title: task.type }, task.type)),
    showsQueue ? h("td", { "data-label": "Queue" }, h("a", { class: "link", href: href("queue", task.queue) }, task.queue)) : null,
    h("td", { class: "half", "data-label": "State" }, state(said)),
    h("td", { "data-label": "Key" }, task.key ? chip(task.key, { class: "clip", title: task.key }) : h("span", { class: "soft" }, "–")),
    h("td", { class: "right num", "data-label": "Attempt" }, num(task.attempt)),
    h("td", { class: "right num soft", "data-label": "Since" }, ago(when)),
  );
}

/** Heads of a list of tasks; `all` selects what is shown. */
export function taskHead({ all = null, onAll = null, showsQueue = false } = {}) {
  return h(
    "thead", {},
    h(
      "tr", {},
      onAll ? h("th", { class: "check", scope: "col" }, h("input", { type: "checkbox", "aria-label": "Select all that are shown", set: { checked: all }, on: { change: (event) => onAll(event.target.checked) } })) : null,
      h("th", { scope: "col" }, "Task"), h("th", { scope: "col" }, "Type"), showsQueue ? h("th", { scope: "col" }, "Queue") : null,
      h("th", { scope: "col" }, "State"), h("th", { scope: "col" }, "Key"), h("th", { scope: "col", class: "right" }, "Attempt"), h("th", { scope: "col", class: "right" }, "Since"),
    ),
  );
}

export const ranFor = (seconds) => (seconds === null ? "" : duration(seconds));
export const fileOf = place;

/** A button that opens a list of actions: [[text, act]…], without those that are null. */
export function menuOf(label, items) {
  const item = ([text, act]) => h("button", { type: "button", class: "menu-item", key: text, on: { click: (event) => { event.currentTarget.closest("details").open = false; act(); } } }, text);
  return h(
    "details", { class: "menu", on: { toggle: closeOthers, focusout: closeLeft } },
    h("summary", { "aria-label": label }, "⋯"),
    h("div", { class: "menu-items" }, items.filter(Boolean).map(item)),
  );
}

function closeOthers(event) {
  if (event.currentTarget.open) for (const other of document.querySelectorAll("details.menu[open]")) if (other !== event.currentTarget) other.open = false;
}

function closeLeft(event) {
  const menu = event.currentTarget;
  if (!menu.contains(event.relatedTarget)) setTimeout(() => { if (!menu.contains(document.activeElement)) menu.open = false; }, 120);
}
