// Schedules, as the API says it and as the views need it.

import { duration, instant } from "./format.js";

export function scheduleOf(raw) {
  return {
    name: String(raw.name),
    queue: String(raw.queue),
    function: String(raw.function),
    cron: raw.cron || "",
    words: String(raw.words || ""),
    zone: String(raw.tz || "UTC"),
    overlap: String(raw.overlap),
    missed: String(raw.missed),
    catchUp: raw.catch_up ?? null,
    jitter: raw.jitter || 0,
    startAt: instant(raw.start),
    endAt: instant(raw.end),
    isCode: raw.source === "code",
    isUndeclared: Boolean(raw.undeclared),
    isOverdue: Boolean(raw.overdue),
    pausedAt: instant(raw.paused_time),
    note: raw.note || "",
    nextAt: instant(raw.next_time),
    next: (raw.next_times || []).map(instant),
    lastAt: instant(raw.last_time),
    lastTask: raw.last_task_id || "",
  };
}

/** Its state: a tone, and words that say it without the colour. */
export function stateOf(schedule) {
  if (schedule.pausedAt) return { tone: "grey", text: `paused${schedule.note ? `, “${schedule.note}”` : ""}` };
  if (schedule.nextAt === null) return { tone: "grey", text: schedule.endAt ? "over" : "nothing is due" };
  if (schedule.isOverdue) return { tone: "amber", text: "overdue: its tick has not been submitted" };
  if (schedule.isUndeclared) return { tone: "amber", text: "no code declares it any more" };
  return { tone: "green", text: "active" };
}

/** When, in words; the zone of a cron expression belongs to it. */
export const whenText = ({ words, cron, zone }) => (cron ? `${words}, ${zone}` : words);

const OVERLAP = {
  skip: "while the task before runs, a tick is skipped", one: "while the task before runs, one tick waits", allow: "each tick starts a task, also while others run",
};

export const overlapText = ({ overlap }) => OVERLAP[overlap] || overlap;

export function missedText({ missed, catchUp }) {
  if (missed === "skip") return "skipped";
  const late = catchUp === null ? "" : ` that is late by at most ${duration(catchUp)}`;
  return missed === "all" ? `each one${late} is made up for` : `one task for all of them, for the last${late}`;
}
