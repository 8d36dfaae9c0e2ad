// One queue: what holds it back, how it went, its settings, keys, breaker and tasks.

import * as actions from "../actions.js";
import { get } from "../api.js";
import { chart } from "../charts.js";
import { h } from "../dom.js";
import { ago, clock, count, duration, num, sum, until } from "../format.js";
import { admission, breakerChangesOf, historyOf, keysOf, queueOf, settingText, settingsOf, stateOf, verdict, wholeSteps } from "../model.js";
import { button, chip, empty, href, linkButton, meter, state } from "../parts.js";
import { keyLimits, limitsOf } from "./key_limits.js";
import { list, readPage } from "./tasks.js";

export const every = true;
export const title = ({ parts }) => parts[0] || "Queue";

const SPANS = [["1 h", 3600], ["24 h", 86_400], ["30 d", 2_592_000]];
const spanOf = (options) => Number(options.span) || 3600;

export async function load({ parts: [name], options, signal }) {
  const part = (request, otherwise) =>
    request.catch((error) => {
      if (error.name === "AbortError" || error.status === 401) throw error;
      return otherwise;
    });
  const span = spanOf(options);
  const [raw, history, recent, page, groups, breakerChanges, limits] = await Promise.all([
    get(["queues", name], {}, signal),
    part(get(["queues", name, "history"], { span }, signal).then(historyOf), null),
    span === 3600 ? null : part(get(["queues", name, "history"], { span: 3600 }, signal).then(historyOf), null),
    part(readPage(name, options, signal, 20), { tasks: [], cursor: null }),
    part(get(["queues", name, "dead-letter-groups"], {}, signal), []),
    part(get(["queues", name, "breaker-history"], {}, signal).then(breakerChangesOf), []),
    part(get(["queues", name, "key-limits"], {}, signal).then(limitsOf), []),
  ]);
  const data = {
    queue: queueOf(raw), settings: settingsOf(raw), keys: keysOf(raw, limits), history, recent: recent || history, page,
    groups: Array.isArray(groups) ? groups : groups.groups || [], breakerChanges, limits,
  };
  return { ...data, way: wayOf(data) }; // as of now, also if later requests fail
}

export const head = ({ parts }) => h("div", { class: "head", key: "head" }, h("h1", {}, parts[0]));

export function draw(view) {
  const { app, data, options } = view;
  const { queue, way } = data;
  return h(
    "div", { class: "stack queue", key: `queue ${queue.name}` },
    top(app, data, way),
    strip(data, way),
    charts(app, data, options),
    h("div", { class: "two", key: "two" }, h("div", { class: "stack" }, keys(data), keyLimits(app, queue.name, data.limits), deadLetters(data), breaker(app, data)), settings(app, data)),
    list({ ...view, data }, queue.name),
  );
}

const HELD = { rate: "its rate", keys: "its keys' limits" };

/** The state in words; what the row of the overview can't know is added. */
function stateWith(queue, { holder }) {
  const said = stateOf(queue);
  return HELD[holder] && said.tone === "green" ? { tone: "blue", text: `working · held back by ${HELD[holder]}` } : said;
}

function top(app, { queue }, way) {
  const name = queue.name;
  const isHeld = queue.paused || queue.draining || (queue.snoozedUntil && queue.snoozedUntil > Date.now());
  const since = queue.paused ? queue.pausedSince : queue.draining ? queue.drainingSince : null;
  return h(
    "div", { class: "head", key: "head" },
    h("h1", {}, name),
    state(stateWith(queue, way)),
    since ? h("span", { class: "soft small" }, "since ", ago(since)) : null,
    app.canChange
      ? h(
          "div", { class: "buttons" },
          isHeld ? button("Resume", () => actions.resume(app, name), { kind: "main" }) : null,
          queue.breaker !== "closed" ? button("Close breaker…", () => actions.closeBreaker(app, name), { kind: "main" }) : null,
          queue.paused ? null : button("Pause…", () => actions.pause(app, name)),
          queue.draining ? null : button("Drain…", () => actions.drain(app, name)),
          button("Purge…", () => actions.purge(app, name), { disabled: !queue.waiting, title: queue.waiting ? null : "Nothing waits" }),
          button("Delete…", () => actions.deleteQueue(app, name)),
        )
      : null,
  );
}

// --- the admission strip

const setting = (settings, name) => settings.find((each) => each.name === name)?.inForce;

function wayOf({ queue, settings, keys: keyRows, recent }) {
  const rate = setting(settings, "rate");
  const rates = Array.isArray(rate) ? rate : rate ? [rate] : [];
  const breakerLimit = setting(settings, "max_circuit_breaker_failures");
  return admission(queue, { rates, keys: keyRows, perKey: setting(settings, "per_key.max_workers") || setting(settings, "per_key"), history: recent, breakerLimit: breakerLimit === undefined ? null : breakerLimit ?? 0 });
}

function strip({ queue }, way) {
  return h(
    "section", { "aria-label": "What holds it back", key: "strip" },
    h("ol", { class: "strip card" }, way.stages.map((stage) => stageOf(stage))),
    h("p", { class: "verdict" }, verdict(queue, way).map(([text, isBold]) => (isBold ? h("b", {}, text) : text))),
  );
}

function stageOf({ id, name, value, note, share, tone = "green", holds, until: at }) {
  return h(
    "li", { class: `stage ${tone} ${holds ? "holds" : ""}`, key: id },
    h("span", { class: "stage-name" }, name, holds ? h("span", { class: "hidden" }, " (the bottleneck)") : null),
    h("span", { class: "stage-value" }, at ? until(at) : value),
    h("span", { class: "stage-note", title: note }, note || "\u00a0"),
    share === null || share === undefined ? null : h("span", { class: "bar", "aria-hidden": "true" }, h("span", { class: "fill", vars: { "--share": String(share) } })),
  );
}

// --- charts

function charts(app, { history }, options) {
  const span = spanOf(options);
  const choice = h(
    "div", { class: "choice", role: "group", "aria-label": "Time shown" },
    SPANS.map(([text, seconds]) => h("button", { type: "button", "aria-pressed": String(seconds === span), key: seconds, on: { click: () => app.setOptions({ ...options, span: seconds === 3600 ? "" : seconds }) } }, text)),
  );
  if (!history) return h("section", { class: "card", key: "charts" }, h("div", { class: "card-head" }, h("h2", {}, "History"), choice), empty("No history", "The server gave none for this queue."));
  const { at, step } = history;
  const shown = wholeSteps(history.submitted.map((count, place) => count || history.completed[place])).length;
  const flow = {
    id: `flow ${span}`, at: at.slice(0, shown), step, unit: "count", stacked: true,
    series: [
      { label: "completed", values: history.completed.slice(0, shown), color: "--green-area", fill: true },
      { label: "retried", values: history.retried.slice(0, shown), color: "--amber-mark", fill: true },
      { label: "failed", values: history.failed.slice(0, shown), color: "--red", fill: true },
    ],
  };
  const wait = {
    id: `wait ${span}`, at, step, unit: "seconds",
    series: [
      { label: "wait 95 %", values: history.wait_p95, color: "--blue" },
      { label: "wait 50 %", values: history.wait_p50, color: "--green" },
      { label: "run 95 %", values: history.run_p95, color: "--amber-mark", dash: [4, 3] },
      { label: "run 50 %", values: history.run_p50, color: "--grey-mark" },
    ],
  };
  const total = (name) => num(sum(history[name]) ?? 0);
  const most = Math.max(0, ...history.wait_p95.filter((value) => value !== null));
  return h(
    "section", { class: "two stretch", "aria-label": "Over time", key: "charts" },
    chart(step >= 3600 ? "Tasks per hour" : "Tasks per minute", flow, { aside: choice, summary: `${total("completed")} completed, ${total("retried")} retried, ${total("failed")} failed for good.` }),
    chart("Wait and run", wait, { summary: `The longest wait of 95 percent was ${duration(most)}.` }),
  );
}

// --- keys, dead letters, breaker

function keys({ keys: rows, settings, queue }) {
  const limit = setting(settings, "per_key.max_workers");
  if (rows === null || (!rows.length && !limit)) return null;
  const most = Math.max(1, ...rows.map(({ running }) => running ?? 0));
  return h(
    "section", { class: "card", "aria-label": "Busiest keys", key: "keys" },
    h("div", { class: "card-head" }, h("h2", {}, "Busiest and most delayed keys")),
    rows.length
      ? h(
          "table", { class: "plain" },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Running"), h("th", { scope: "col", class: "right" }, "Due for"))),
          h("tbody", {}, rows.slice(0, 10).map((each) => h(
            "tr", { key: each.key },
            h("td", {}, h("a", { href: `#/tasks?${new URLSearchParams({ queue: queue.name, key: each.key })}` }, chip(each.key, { class: "clip", title: each.key }))),
            h("td", {}, each.running === null ? h("span", { class: "soft" }, "–") : meter(each.running, each.limit || most, { tone: each.isFull ? "amber" : "green", label: each.limit ? `${num(each.running)}/${num(each.limit)}` : num(each.running) })),
            h("td", { class: "right num" }, duration(each.delay)),
          ))),
        )
      : empty("No key is in use"),
  );
}

function deadLetters({ groups, queue }) {
  if (!groups.length)
    return h("section", { class: "card", "aria-label": "Dead letters", key: "dead" }, h("div", { class: "card-head" }, h("h2", {}, "Dead letters")), h("p", { class: "soft" }, "None: no task of this queue failed for good."));
  const total = sum(groups.map((each) => each.count));
  return h(
    "section", { class: "card", "aria-label": "Dead letters", key: "dead" },
    h("div", { class: "card-head" }, h("h2", {}, "Dead letters ", h("span", { class: "badge red" }, num(total))), h("div", { class: "buttons" }, linkButton("Show why", `#/dead?queue=${encodeURIComponent(queue.name)}`))),
    h("ul", { class: "lines" }, groups.slice(0, 3).map((each) => h("li", { key: each.name }, h("a", { class: "wrap mono small", href: `#/dead?${new URLSearchParams({ queue: queue.name, group: each.name })}` }, each.name), h("span", { class: "num red tone" }, num(each.count)), h("span", { class: "soft small" }, ago(each.last_time))))),
  );
}

function breaker(app, { queue, settings, breakerChanges }) {
  const limit = setting(settings, "max_circuit_breaker_failures");
  const failures = [...queue.lastFailures].reverse();
  const reset = setting(settings, "circuit_breaker_reset_timeout");
  const isOff = limit === null || limit === 0;
  const said = isOff ? { tone: "grey", text: "off" } : { closed: { tone: "green", text: "closed" }, open: { tone: "red", text: "open" }, half_open: { tone: "amber", text: "half open" } }[queue.breaker] || { tone: "grey", text: queue.breaker };
  return h(
    "section", { class: "card", "aria-label": "Circuit breaker", key: "breaker" },
    h("div", { class: "card-head" }, h("h2", {}, "Circuit breaker"), state(said), app.canChange && queue.breaker !== "closed" ? h("div", { class: "buttons" }, button("Close now…", () => actions.closeBreaker(app, queue.name))) : null),
    isOff
      ? h("p", { class: "soft" }, "It never opens (max_circuit_breaker_failures is None).")
      : h(
          "p", { class: "soft" },
          queue.breaker === "open" ? `Opened by ${count(limit, "failure")} in a row` : [count(queue.failures, "failure"), " in a row", limit ? ` of ${num(limit)} that open it` : ""], reset ? `; once open, it lets a probe through after ${duration(reset)}` : "", ".",
          queue.breaker === "open" && queue.openedAt ? [" Open since ", clock(queue.openedAt, { fraction: false }), "."] : null,
          queue.breaker === "open" && queue.probeAt ? [" Next probe in ", until(queue.probeAt, { class: "num" }), "."] : null,
        ),
    failures.length
      ? h("ul", { class: "lines", "aria-label": "Failures that it counted last" }, failures.slice(0, 6).map((each, place) => h(
          "li", { key: `${each.task_id} ${place}` },
          h("span", { class: "clip-line small", title: each.error }, each.error),
          each.task_id ? h("a", { class: "mono small clip", href: href("task", each.task_id), title: each.task_id }, each.task_id) : null,
          h("span", { class: "soft small" }, ago(each.at)),
        )))
      : null,
    breakerChanges.length
      ? [
          h("h3", { class: "apart" }, "History"),
          h("ul", { class: "lines changes", "aria-label": "History of the breaker" }, breakerChanges.slice(0, 8).map((each, place) => h(
            "li", { key: `change ${place}` },
            h("span", { class: `small tone ${each.tone}` }, each.state),
            h("span", { class: "clip-line small", title: each.why }, each.why),
            each.taskId ? h("a", { class: "mono small clip", href: href("task", each.taskId), title: each.taskId }, each.taskId) : null,
            h("span", { class: "soft small" }, ago(each.at)),
          ))),
        ]
      : null,
  );
}

// --- settings

const FIRST = ["max_workers", "rate", "per_key.max_workers", "per_key.max_size", "per_key.rate", "max_size", "max_retries", "retry_delay", "task_timeout"];

function settings(app, { queue, settings: rows }) {
  const rank = ({ name }) => (FIRST.indexOf(name) + 1 || FIRST.length + 1);
  const sorted = [...rows].sort((a, b) => rank(a) - rank(b));
  return h(
    "section", { class: "card", "aria-label": "Settings", key: "settings" },
    h("div", { class: "card-head" }, h("h2", {}, "Settings")),
    sorted.length
      ? h(
          "table", { class: "plain settings" },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Setting"), h("th", { scope: "col", class: "right" }, "Code"), h("th", { scope: "col", class: "right" }, "In force"), app.canChange ? h("th", { scope: "col" }, h("span", { class: "hidden" }, "Change")) : null)),
          h("tbody", {}, sorted.map((each) => settingRow(app, queue, each))),
        )
      : empty("No settings known"),
  );
}

function settingRow(app, queue, each) {
  const { name, declared, inForce, isOverridden, by, at } = each;
  const who = isOverridden ? h("span", { class: "who soft small", title: each.note || null }, by || "overridden", at ? [", ", ago(at)] : null) : null;
  return h(
    "tr", { key: name },
    h("th", { scope: "row" }, name),
    h("td", { class: "right num soft", "data-label": "Code" }, name === "task_timeout" && isOverridden && declared === null ? "per process" : settingText(name, declared)),
    h("td", { class: "right num", "data-label": "In force" }, h("span", { class: isOverridden ? "amber tone" : "" }, settingText(name, inForce)), who),
    app.canChange
      ? h(
          "td", { class: "change" },
          actions.canOverride(name) ? button(isOverridden ? "Change" : "Override", () => actions.override(app, queue.name, each), { kind: "quiet", "aria-label": `Override ${name}` }) : null,
          isOverridden && actions.canOverride(name) ? button("Undo", () => actions.removeOverride(app, queue.name, name), { kind: "quiet", "aria-label": `Remove the override of ${name}` }) : null,
        )
      : null,
  );
}

