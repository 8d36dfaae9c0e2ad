// All schedules: when each is due next, in words, here and in UTC; the next day as a line of ticks.

import * as actions from "../actions.js";
import { get } from "../api.js";
import { h, s } from "../dom.js";
import { ago, count, dayTime, isUtcHere, now, num, utcTime, zoneHere } from "../format.js";
import { empty, href, menuOf, state } from "../parts.js";
import { scheduleOf, stateOf } from "../schedules.js";

export const title = () => "Schedules";
export const every = true;

const TICKS = 50; // of each schedule
const DAY_MS = 86_400_000;

export async function load({ signal }) {
  const found = await get(["schedules"], { next: TICKS }, signal);
  const dueAt = ({ nextAt }) => nextAt ?? Infinity;
  return found.schedules.map(scheduleOf).sort((a, b) => dueAt(a) - dueAt(b) || a.name.localeCompare(b.name));
}

export const head = () => h("div", { class: "head", key: "head" }, h("h1", {}, "Schedules"));

export function draw({ app, data: schedules }) {
  return h(
    "div", { class: "stack", key: "schedules" },
    h("div", { class: "head", key: "head" }, h("h1", {}, "Schedules"), h("span", { class: "soft" }, summary(schedules))),
    schedules.length
      ? h(
          "section", { class: "card schedules", "aria-label": "Schedules", key: "list" },
          h(
            "table", { class: "rows" },
            h("thead", {}, h("tr", {}, ["Schedule", "Due", "Next 24 hours", "Next run", isUtcHere() ? null : "In UTC"].filter(Boolean).map((text) => h("th", { scope: "col", key: text }, text)), h("th", { scope: "col", class: "right" }, "Last run"), h("th", { scope: "col" }, h("span", { class: "hidden" }, "Actions")))),
            h("tbody", {}, schedules.map((each) => row(app, each))),
          ),
        )
      : h("div", { class: "card", key: "none" }, empty("No schedules", "Declare one with ", h("code", {}, "@manager.periodic"), ", or put one with ", h("code", {}, "manager.schedules.put"), ".")),
  );
}

function summary(schedules) {
  if (!schedules.length) return "none";
  const paused = schedules.filter(({ pausedAt }) => pausedAt).length;
  return [count(schedules.length, "schedule"), paused ? `${num(paused)} paused` : "", `times are in ${zoneHere()}`].filter(Boolean).join(" · ");
}

function row(app, schedule) {
  const { name, nextAt } = schedule;
  return h(
    "tr", { key: name, "data-row": true },
    h("th", { scope: "row", class: "main" }, h("a", { class: "row-link name", href: href("schedule", name) }, name), state(stateOf(schedule), { class: "small" })),
    h("td", { class: "due" }, h("span", { class: "wrap" }, schedule.words), schedule.cron ? h("span", { class: "soft small wrap zone" }, schedule.zone) : null),
    h("td", { class: "day-cell half", "data-label": "Next 24 hours" }, day(schedule)),
    h("td", { class: "half next", "data-label": "Next run" }, nextAt === null ? h("span", { class: "soft" }, "–") : [h("span", { class: "nowrap" }, dayTime(nextAt)), h("span", { class: "soft small num relative" }, ago(nextAt))]),
    isUtcHere() ? null : h("td", { class: "num soft half utc", "data-label": "In UTC" }, nextAt === null ? "–" : utcTime(nextAt)),
    h("td", { class: "right num half", "data-label": "Last run" }, schedule.lastTask ? h("a", { class: "link", href: href("task", schedule.lastTask), "aria-label": `The last task of ${name}` }, ago(schedule.lastAt)) : h("span", { class: "soft" }, "never")),
    h("td", { class: "menu-cell" }, app.canChange ? menu(app, schedule) : null),
  );
}

function menu(app, schedule) {
  return menuOf(`Actions for ${schedule.name}`, [
    ["Run now", () => actions.runSchedule(app, schedule)],
    schedule.pausedAt ? ["Resume", () => actions.resumeSchedule(app, schedule)] : ["Pause…", () => actions.pauseSchedule(app, schedule)],
    ["Backfill…", () => actions.backfill(app, schedule)],
    ["Remove…", () => actions.removeSchedule(app, schedule)],
  ]);
}

const WIDTH = 240;
const HEIGHT = 22;

/** The ticks of the next day on a line. Of a schedule with more of them than are known, the rest is dashed. */
function day({ next, pausedAt }) {
  const from = now();
  const at = (ms) => Math.max(0, ((ms - from) / DAY_MS) * WIDTH);
  const ticks = next.filter((ms) => ms <= from + DAY_MS);
  const isCut = ticks.length === TICKS;
  const known = isCut ? at(ticks.at(-1)) : WIDTH;
  const label = pausedAt ? "None while it is paused" : isCut ? `More than ${num(TICKS)} runs in the next 24 hours` : `${count(ticks.length, "run")} in the next 24 hours`;
  return s(
    "svg", { class: `day ${pausedAt ? "grey" : "green"}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("title", {}, label),
    s("line", { class: "day-line", x1: 0, x2: known, y1: HEIGHT / 2, y2: HEIGHT / 2, "vector-effect": "non-scaling-stroke" }),
    isCut ? s("line", { class: "day-line more", x1: known, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2, "vector-effect": "non-scaling-stroke" }) : null,
    ticks.map((ms) => s("line", { class: "day-tick", x1: at(ms).toFixed(1), x2: at(ms).toFixed(1), y1: 4, y2: HEIGHT - 4, "vector-effect": "non-scaling-stroke" })),
  );
}
