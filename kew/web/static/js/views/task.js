// One task: why it waits, what happened to it, what it was called with, and what came of it.

import * as actions from "../actions.js";
import { get } from "../api.js";
import { h } from "../dom.js";
import { ago, bytes, clock, duration, instant, now, num, until } from "../format.js";
import { ENDED, priorityWord, statusOf, taskOf } from "../model.js";
import { button, chip, href, meter, sentence, state, traceback } from "../parts.js";

export const every = true;
export const title = ({ parts }) => parts[0] || "Task";

export async function load({ parts: [id], signal }) {
  const part = (name) =>
    get(["tasks", id, name], {}, signal).catch((error) => {
      if (error.name === "AbortError" || error.status === 401) throw error;
      return null;
    });
  const [raw, why, called] = await Promise.all([get(["tasks", id], {}, signal), part("explain"), part("arguments")]);
  return { task: taskOf({ ...raw, ...called }), why };
}

export const head = ({ parts }) => h("div", { class: "head narrow", key: "head" }, h("h1", { class: "mono" }, parts[0]));

export function draw({ app, data }) {
  const { task, why } = data;
  return h(
    "div", { class: "stack narrow", key: `task ${task.id}` },
    top(app, task),
    reasons(task, why),
    h("div", { class: "split" }, timeline(task, why), call(task)),
    result(task),
    attempts(task),
  );
}

function top(app, task) {
  const said = statusOf(task);
  const which = task.attempt ? `, attempt ${num(task.attempt)}${task.maxRetries === null ? "" : ` of ${num(task.maxRetries + 1)}`}` : "";
  const isEnded = ENDED.has(task.status);
  return h(
    "div", { class: "head", key: "head" },
    h("h1", { class: "mono task-id" }, task.id),
    state({ tone: said.tone, text: said.text + (isEnded && task.attempt < 2 ? "" : which) }),
    h(
      "div", { class: "buttons" },
      app.canChange && !isEnded ? button("Cancel…", () => actions.cancelTask(app, task.id)) : null,
      app.canChange && isLater(task) ? button("Run now", () => actions.runTask(app, task.id), { title: "Let it be due now, instead of at its due time" }) : null,
      app.canChange && ["failed", "cancelled"].includes(task.status)
        ? [button("Replay", () => actions.replayTask(app, task.id), { kind: "main" }), button("Replay with…", () => actions.replayWithArguments(app, task))]
        : null,
      button("Copy id", () => copy(task.id), { title: "Copy the task's id" }),
    ),
  );
}

/** It waits for its due time, or for its next attempt. */
const isLater = ({ status, dueAt }) => !ENDED.has(status) && !HEADS[status] && dueAt > now();

async function copy(text) {
  const { toast } = await import("../dom.js");
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser doesn't let this page copy.", { tone: "amber" });
  }
}

// --- why

const SURE = { exact: "exact", estimate: "estimate", never: "needs someone to act", unknown: "not known" };
const HEADS = { processing: "What it does", running: "What it does", completed: "How it ended", failed: "How it ended", cancelled: "How it ended" };

function reasons(task, why) {
  if (!why) return null;
  const isWaiting = !ENDED.has(task.status) && !HEADS[task.status];
  const sure = String(why.sure || "").toLowerCase();
  const earliest = instant(why.earliest ?? why.earliest_at);
  const rows = why.reasons || [];
  const tone = isWaiting && sure === "never" ? "amber" : isWaiting ? "blue" : statusOf(task).tone;
  return h(
    "section", { class: `card why ${tone}`, "aria-label": isWaiting ? "Why it waits" : "State", key: "why" },
    h(
      "div", {},
      h("h2", {}, HEADS[task.status] || "Why it waits"),
      rows.length && isWaiting ? h("ol", { class: "reasons" }, rows.map((reason, place) => reasonRow(reason, place, isWaiting))) : h("p", {}, sentence(why.text) || "Nothing is known."),
    ),
    isWaiting
      ? h(
          "div", { class: "when" },
          h("span", { class: "soft small" }, earliest ? (sure === "exact" ? "starts in" : "starts in about") : "starts"),
          earliest ? until(earliest, { class: "countdown" }) : h("span", { class: "countdown none" }, sure === "never" ? "not by itself" : "not known"),
          earliest || sure !== "unknown" ? h("span", { class: "soft small" }, SURE[sure] || sure) : null,
        )
      : null,
  );
}

function reasonRow(reason, place, isWaiting) {
  const at = instant(reason.until ?? reason.until_at);
  return h(
    "li", { key: `${reason.code} ${place}` },
    h("span", { class: "code tone mono" }, String(reason.code)), " ", h("span", { class: "wrap" }, String(reason.text)),
    at && isWaiting && !/\(at /.test(reason.text) ? h("span", { class: "soft nowrap" }, " until ", clock(at)) : null,
    (reason.holders || []).map((holder) => h("span", { class: "holder", key: holder.task_id }, " ", h("a", { href: href("task", holder.task_id) }, chip(holder.task_id)), h("span", { class: "soft" }, ` on ${holder.process}`))),
  );
}

// --- timeline

function timeline(task, why) {
  const events = eventsOf(task, why);
  return h(
    "section", { class: "card", "aria-label": "Timeline", key: "timeline" },
    h("h2", { class: "card-title" }, "Timeline"),
    h("ol", { class: "timeline" }, events.map((event, place) => h(
      "li", { class: `event ${event.tone} ${place === events.length - 1 && !ENDED.has(task.status) ? "now" : ""}`, key: place },
      h("span", { class: "dot", "aria-hidden": "true" }),
      event.at ? h("time", { class: "num soft", datetime: new Date(event.at).toISOString(), title: new Date(event.at).toString() }, clock(event.at)) : h("span", { class: "num soft" }, "·"),
      h("span", { class: "wrap" }, event.text),
    ))),
  );
}

function eventsOf(task, why) {
  const bold = (text) => h("b", {}, text);
  const events = [{ at: task.queuedAt, tone: "grey", text: [bold("Submitted"), task.key ? [" with the key ", chip(task.key)] : null] }];
  const first = task.attempts[0]?.number;
  if (first > 1) events.push({ at: null, tone: "grey", text: [h("span", { class: "soft" }, `${num(first - 1)} earlier attempts are no longer kept`)] });
  for (const attempt of task.attempts) {
    const where = attempt.process ? [" on ", chip(attempt.process)] : null;
    events.push({
      at: attempt.at, tone: attempt.how === "failed" ? "red" : "amber",
      text: [bold(`Attempt ${num(attempt.number)}`), where, attempt.seconds ? ` ran ${duration(attempt.seconds)}: ` : ": ", h("strong", { class: "tone" }, failureText(attempt)), groupPlace(attempt)],
    });
  }
  if (task.status === "processing" || task.status === "running") events.push({ at: task.startedAt, tone: "green", text: [bold(`Attempt ${num(task.attempt)}`), " runs", task.process ? [" on ", chip(task.process)] : null] });
  else if (task.status === "completed") {
    const ran = task.startedAt && task.endedAt ? `, ran ${duration((task.endedAt - task.startedAt) / 1000)}` : "";
    events.push({ at: task.startedAt, tone: "green", text: [bold(`Attempt ${num(task.attempt)}`), " started"] });
    events.push({ at: task.endedAt, tone: "green", text: [bold("Completed"), ran] });
  } else if (task.status === "failed") events.push({ at: task.endedAt, tone: "red", text: [bold("Failed for good"), task.retries ? `, after ${num(task.retries)} ${task.retries === 1 ? "retry" : "retries"}` : ""] });
  else if (task.status === "cancelled") events.push({ at: task.endedAt, tone: "grey", text: [bold("Cancelled"), task.error ? [": ", task.error] : null] });
  else {
    const code = why?.reasons?.[0]?.text?.replace(/ \(at [^)]*\)/g, "");
    events.push({ at: task.dueAt, tone: "blue", text: [bold(task.status === "retry" ? "Next attempt due" : "Waiting"), task.dueAt && task.dueAt > Date.now() ? [" in ", until(task.dueAt, { class: "num" })] : null, code ? [" ", h("span", { class: "soft" }, code)] : null] });
  }
  return events.filter(({ at, text }) => at || text);
}

const HOW = {
  lost: "its worker went silent", "not-started": "it could not be started", interrupted: "a shutdown interrupted it",
  orphaned: "the only process that could run it has gone", unknown: "it failed",
};

function failureText({ type, message, how }) {
  if (type) return message ? `${type}: ${message}` : type;
  return message || HOW[how] || how;
}

function groupPlace({ group }) {
  const place = String(group).split("@")[1];
  return place ? [" at ", chip(place)] : null;
}

// --- the call

function call(task) {
  const fields = [
    ["Queue", h("a", { class: "link", href: href("queue", task.queue) }, task.queue)],
    ["Key", task.key ? chip(task.key) : null],
    ["Priority", priorityWord(task.priority)],
    ["Type", task.type],
    ["Retries", task.maxRetries === null ? num(task.retries) : `${num(task.retries)} of ${num(task.maxRetries)} used`],
    ["Snoozes", task.snoozes ? num(task.snoozes) : null],
    ["Progress", task.progress ? progress(task.progress) : null],
    ["Checkpoint", task.checkpoint ? checkpoint(task) : null],
    ["Submitted", ago(task.queuedAt)],
    ["Runs on", task.process && !ENDED.has(task.status) ? chip(task.process) : null],
  ];
  return h(
    "section", { class: "card", "aria-label": "Call", key: "call" },
    h("h2", { class: "card-title" }, "Call"),
    callText(task),
    h("dl", { class: "facts" }, fields.filter(([, value]) => value !== null).map(([name, value]) => h("div", { key: name }, h("dt", { class: "soft" }, name), h("dd", { class: "wrap" }, value)))),
  );
}

function progress({ value, message, at }) {
  const percent = `${Math.floor(value * 100 + 1e-9)} %`;
  return [meter(value, 1, { label: percent, title: `${percent} done` }), h("span", { class: "soft small facts-note" }, message ? `${message} · ` : null, at ? ago(at) : null)];
}

function checkpoint({ status, checkpoint: { attempt, size } }) {
  const next = status === "failed" ? "A replay goes on from there." : HEADS[status] ? null : "The next attempt goes on from there.";
  return [`${bytes(size)}, saved by attempt ${num(attempt)}`, next ? h("span", { class: "soft small facts-note" }, next) : null];
}

function callText(task) {
  const name = task.function || task.type;
  if (!task.args || !task.kwargs) return h("pre", { class: "well", tabindex: "0", "aria-label": "Call" }, `${name}(…)`, "\n", h("span", { class: "soft" }, sentence(task.unreadable || "the arguments aren't shown")));
  const rows = [...task.args.map((value) => [value]), ...Object.entries(task.kwargs).map(([key, value]) => [h("span", {}, `${key} = `), value])];
  return h(
    "pre", { class: "well", tabindex: "0", "aria-label": "Call" }, `${name}(`,
    rows.length ? [rows.map((parts) => ["\n  ", parts.length > 1 ? [parts[0], literal(parts[1])] : literal(parts[0]), ","]), "\n"] : null, ")",
  );
}

function literal(value) {
  const text = JSON.stringify(value) ?? "null";
  const kind = typeof value === "string" ? "text" : value === null || typeof value !== "object" ? "value" : "";
  return h("span", { class: `literal ${kind}` }, text);
}

function result(task) {
  if (task.status !== "completed") return null;
  if (task.redacted) return h("section", { class: "card", "aria-label": "Result", key: "result" }, h("h2", { class: "card-title" }, "Result"), h("p", { class: "soft" }, "This admin page shows no results."));
  const isNothing = task.result === null || task.result === undefined;
  return h("section", { class: "card", "aria-label": "Result", key: "result" }, h("h2", { class: "card-title" }, "Result"), isNothing ? h("p", { class: "soft" }, "None.") : h("pre", { class: "well", tabindex: "0", "aria-label": "Result" }, JSON.stringify(task.result, null, 2)));
}

// --- attempts

function attempts(task) {
  const shown = [...task.attempts].reverse();
  if (!shown.length) return task.error && task.status === "failed" ? h("section", { class: "card", key: "error" }, h("h2", { class: "card-title" }, "Error"), h("pre", { class: "well red tone" }, task.error)) : null;
  return h(
    "section", { class: "stack", "aria-label": "Failed attempts", key: "attempts" },
    shown.map((attempt, place) => h(
      "details", { class: "card attempt", open: place === 0, key: attempt.number },
      h("summary", {}, h("h2", {}, `Attempt ${num(attempt.number)}`), h("span", { class: "soft" }, [attempt.process, attempt.seconds === null ? "" : duration(attempt.seconds)].filter(Boolean).join(" · ")), h("span", { class: "red tone wrap summary-error" }, failureText(attempt))),
      attempt.traceback ? traceback(attempt.traceback) : h("p", { class: "soft" }, "No traceback was kept."),
    )),
  );
}
