// One schedule: when it is due next, what it calls, and what an operator does to it.

import * as actions from "../actions.js";
import { get } from "../api.js";
import { h } from "../dom.js";
import { absolute, ago, dayTime, duration, isUtcHere, now, until, utcTime, zoneHere } from "../format.js";
import { button, chip, href, sentence, state } from "../parts.js";
import { missedText, overlapText, scheduleOf, stateOf, whenText } from "../schedules.js";

const TICKS = 10;

export const every = true;
export const title = ({ parts }) => parts[0] || "Schedule";

export const load = async ({ parts: [name], signal }) => scheduleOf(await get(["schedules", name], { next: TICKS }, signal));

export const head = ({ parts }) => h("div", { class: "head narrow", key: "head" }, h("h1", {}, parts[0]));

export function draw({ app, data: schedule }) {
  return h(
    "div", { class: "stack narrow", key: `schedule ${schedule.name}` },
    top(app, schedule),
    due(schedule),
    h("div", { class: "split" }, runs(schedule), facts(schedule)),
  );
}

function top(app, schedule) {
  return h(
    "div", { class: "head", key: "head" },
    h("h1", {}, schedule.name),
    state(stateOf(schedule)),
    app.canChange
      ? h(
          "div", { class: "buttons" },
          button("Run now", () => actions.runSchedule(app, schedule), { title: "Submit its task now, beside its ticks" }),
          schedule.pausedAt ? button("Resume", () => actions.resumeSchedule(app, schedule), { kind: "main" }) : button("Pause…", () => actions.pauseSchedule(app, schedule)),
          button("Backfill…", () => actions.backfill(app, schedule)),
          button("Remove…", () => actions.removeSchedule(app, schedule)),
        )
      : null,
  );
}

function due(schedule) {
  const { nextAt, pausedAt } = schedule;
  const { tone } = stateOf(schedule);
  const isLate = nextAt !== null && nextAt < now();
  return h(
    "section", { class: `card why ${tone}`, "aria-label": "Next run", key: "due" },
    h("div", {}, h("h2", {}, "When"), h("p", { class: "wrap" }, `${whenText(schedule)}.`), h("p", { class: "soft wrap" }, said(schedule))),
    h(
      "div", { class: "when" },
      h("span", { class: "soft small" }, nextAt === null ? "next run" : isLate ? "due" : "next run in"),
      nextAt === null ? h("span", { class: "countdown none" }, pausedAt ? "not while paused" : "none") : isLate ? h("span", { class: "countdown none" }, ago(nextAt)) : until(nextAt, { class: "countdown" }),
      nextAt === null ? null : h("span", { class: "soft small" }, utcTime(nextAt)),
    ),
  );
}

/** The next run in a sentence. */
function said(schedule) {
  const { nextAt, pausedAt, note, isUndeclared, endAt } = schedule;
  if (pausedAt) return ["Paused ", ago(pausedAt), note ? `: ${sentence(note)}` : ".", " It goes on with the next tick once it is resumed."];
  if (nextAt === null) return endAt ? `It ended ${dayTime(endAt)}.` : "No tick will be due.";
  if (now() - nextAt > 60_000) return `Its tick of ${dayTime(nextAt)} waits: no process that works on ${schedule.queue} submits it.`;
  const words = `Its next task is submitted ${dayTime(nextAt)}.`;
  return isUndeclared ? `${words} No process declares it any more: remove it if its code is gone.` : words;
}

function runs({ next, pausedAt }) {
  return h(
    "section", { class: "card", "aria-label": "Next runs", key: "runs" },
    h("h2", { class: "card-title" }, "Next runs"),
    next.length
      ? h(
          "table", { class: "plain" },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, `In ${zoneHere()}`), isUtcHere() ? null : h("th", { scope: "col" }, "In UTC"), h("th", { scope: "col", class: "right" }, "From now"))),
          h("tbody", {}, next.map((ms) => h("tr", { key: ms }, h("td", { title: absolute(ms) }, dayTime(ms)), isUtcHere() ? null : h("td", { class: "num soft" }, utcTime(ms)), h("td", { class: "right num" }, ago(ms))))),
        )
      : h("p", { class: "soft" }, pausedAt ? "None while it is paused." : "None."),
  );
}

function facts(schedule) {
  const fields = [
    ["Queue", h("a", { class: "link", href: href("queue", schedule.queue) }, schedule.queue)],
    ["Function", chip(schedule.function)],
    ["Cron", schedule.cron ? chip(schedule.cron) : null],
    ["Time zone", schedule.cron ? schedule.zone : null],
    ["Last run", schedule.lastTask ? [h("a", { class: "link", href: href("task", schedule.lastTask) }, ago(schedule.lastAt)), " ", chip(schedule.lastTask)] : "never"],
    ["Overlap", sentence(overlapText(schedule))],
    ["Missed", sentence(missedText(schedule))],
    ["Jitter", schedule.jitter ? `up to ${duration(schedule.jitter)} later` : null],
    ["Starts", schedule.startAt ? dayTime(schedule.startAt) : null],
    ["Ends", schedule.endAt ? dayTime(schedule.endAt) : null],
    ["Declared", schedule.isCode ? "by code" : "as data"],
  ];
  return h(
    "section", { class: "card", "aria-label": "Schedule", key: "facts" },
    h("h2", { class: "card-title" }, "Schedule"),
    h("dl", { class: "facts" }, fields.filter(([, value]) => value !== null).map(([name, value]) => h("div", { key: name }, h("dt", { class: "soft" }, name), h("dd", { class: "wrap" }, value)))),
  );
}
