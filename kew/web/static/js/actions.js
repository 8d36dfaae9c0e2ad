// What an operator does to queues and tasks: a dialog that says what will happen, the request, and a sentence after it.

import { get, post, put, remove } from "./api.js";
import * as dialog from "./dialog.js";
import { h, toast } from "./dom.js";
import { count, inputTime, now, num, zoneHere } from "./format.js";
import { settingText, taskOf } from "./model.js";
import { chip } from "./parts.js";

const NOTE = { name: "note", label: "Note (who and why)", placeholder: "Eve: the mail server is down", maxlength: 500 };

const counted = (answer, ...names) => {
  if (typeof answer === "number") return answer;
  for (const name of ["count", "replayed", "removed", "cancelled", ...names]) if (typeof answer?.[name] === "number") return answer[name];
  return null;
};

async function direct(app, request, message) {
  try {
    const answer = await request;
    toast(typeof message === "function" ? message(answer) : message);
  } catch (error) {
    toast(error.message, { tone: "red", seconds: 8 });
  }
  app.reload();
}

const afterwards = (app) => (done) => {
  if (done) app.reload();
  return done;
};

// --- queues

export function pause(app, queue) {
  return dialog
    .ask({
      title: `Pause ${queue}`, verb: "Pause", fields: [NOTE],
      text: "No process starts its tasks until you resume it. Running tasks go on, and submits are accepted.",
      act: async ({ note }) => {
        await post(["queues", queue, "pause"], { note });
        return `${queue} is paused.`;
      },
    })
    .then(afterwards(app));
}

export function drain(app, queue) {
  return dialog
    .ask({
      title: `Drain ${queue}`, verb: "Drain", fields: [NOTE],
      text: "It refuses new tasks and replays, and finishes what it has, until you resume it.",
      act: async ({ note }) => {
        await post(["queues", queue, "drain"], { note });
        return `${queue} is draining.`;
      },
    })
    .then(afterwards(app));
}

export const resume = (app, queue) => direct(app, post(["queues", queue, "resume"]), `${queue} has resumed.`);

export function closeBreaker(app, queue) {
  return dialog
    .ask({
      title: `Close the breaker of ${queue}`, verb: "Close it",
      text: "All processes start its tasks again at once. If the cause remains, the breaker opens again after as many failures.",
      act: async () => {
        await post(["queues", queue, "reset-breaker"]);
        return `The breaker of ${queue} is closed.`;
      },
    })
    .then(afterwards(app));
}

export function purge(app, queue) {
  return dialog
    .ask({
      title: `Purge ${queue}`, verb: "Cancel what waits", danger: true,
      preview: async () => {
        const { count: waiting } = await post(["queues", queue, "purge"], { dry_run: true });
        const found = await get(["queues", queue, "tasks"], { state: "waiting", limit: 5 }).catch(() => ({ tasks: [] }));
        return previewOf(waiting, (found.tasks || []).map(taskOf), "waiting task", "will be cancelled. Deferred tasks and retries are among them; running tasks go on.");
      },
      act: async () => `${count(counted(await post(["queues", queue, "purge"])) ?? 0, "task")} of ${queue} cancelled.`,
    })
    .then(afterwards(app));
}

export function deleteQueue(app, queue) {
  return dialog
    .ask({
      title: `Delete ${queue}`, verb: "Delete the queue", danger: true,
      text: "The queue goes with its tasks, dead letters and history. Stop the processes that use it first: they would create it again, empty.",
      fields: [{ name: "name", label: `Type the queue's name to confirm`, placeholder: queue }],
      act: async ({ name }) => {
        if (name !== queue) throw new Error("The name doesn't match.");
        await remove(["queues", queue]);
        location.hash = "#/";
        return `${queue} is deleted.`;
      },
    })
    .then((done) => done && app.reload());
}

function previewOf(total, sample, one, text, { more = false } = {}) {
  const shown = sample.slice(0, 5);
  const children = total
    ? [
        h("p", {}, h("b", {}, `${more ? "More than " : ""}${count(total, one)}`), ` ${text}`),
        shown.length
          ? h("ul", { class: "sample" }, shown.map((task) => h("li", { key: task.id }, chip(task.id), " ", h("span", { class: "soft" }, task.error || task.type))), total > shown.length ? h("li", { class: "soft" }, `and ${num(total - shown.length)} more`) : null)
          : null,
      ]
    : [h("p", {}, "Nothing fits: there is nothing to do.")];
  children.nothing = !total;
  return children;
}

// --- settings

const KINDS = {
  max_workers: "whole", max_size: "whole", max_retries: "whole", max_circuit_breaker_failures: "whole or off", circuit_breaker_probes: "whole",
  retry_delay: "seconds", task_timeout: "seconds", circuit_breaker_reset_timeout: "seconds", rate: "rate",
};
const HINTS = {
  whole: "A whole number", "whole or off": "A whole number, or “off”", seconds: "In seconds",
  rate: "Tasks per seconds, as 100/60; several with commas; “off” for none",
};

export const canOverride = (name) => name in KINDS;

/** A rate, or several, as people type them. */
export function typedRate(value) {
  const rates = Array.isArray(value) ? value : [value];
  return rates.length ? rates.map((rate) => `${rate.count}/${rate.per}${rate.burst ? `:${rate.burst}` : ""}`).join(", ") : "off";
}

/** What was typed, as the API takes it: [] for “off”, null for nothing. Throws an error for people. */
export function rateOf(text) {
  const words = text.trim().toLowerCase();
  if (!words) return null;
  return words === "off" || words === "none" ? [] : ratesIn(words);
}

function ratesIn(words) {
  return words.split(",").map((each) => {
    const found = /^\s*(\d+)\s*\/\s*(\d+(?:\.\d+)?)\s*s?(?:\s*:\s*(\d+))?\s*$/.exec(each);
    if (!found) throw new Error("Write a rate as tasks/seconds, for example 100/60.");
    return { count: Number(found[1]), per: Number(found[2]), ...(found[3] ? { burst: Number(found[3]) } : {}) };
  });
}

function typed(name, value) {
  if (value === null || value === undefined) return "off";
  if (name === "rate") return typedRate(value);
  return String(value);
}

function parsed(name, text) {
  const words = text.trim().toLowerCase();
  const kind = KINDS[name];
  if (["off", "none", ""].includes(words)) {
    if (kind === "rate") return null;
    if (kind === "whole or off") return null;
    throw new Error(`${name} needs a value.`);
  }
  if (kind === "rate") return ratesIn(words);
  const value = Number(words.replace(/\s*s$/, ""));
  if (!Number.isFinite(value)) throw new Error(`${name} takes a number, not “${text}”.`);
  return value;
}

export function override(app, queue, { name, declared, inForce }) {
  return dialog
    .ask({
      title: `Override ${name} of ${queue}`, verb: "Put in force",
      text: `The code declares ${settingText(name, declared)}. What you put in force holds for all processes, also after restarts, until you remove it.`,
      fields: [{ name: "value", label: name, value: typed(name, inForce), hint: HINTS[KINDS[name]] }],
      act: async ({ value }) => {
        const wanted = parsed(name, value);
        await put(["queues", queue, "overrides"], { [name]: wanted });
        return `${name} of ${queue} is ${settingText(name, wanted)} now.`;
      },
    })
    .then(afterwards(app));
}

export const removeOverride = (app, queue, name) =>
  direct(app, remove(["queues", queue, "overrides", name]), `${name} of ${queue} is as the code declares it.`);

// --- tasks

export function cancelTask(app, id) {
  return dialog
    .ask({
      title: "Cancel this task", verb: "Cancel the task", danger: true,
      text: `${id} won't run. If it runs now, it is asked to stop.`,
      act: async () => {
        const answer = await post(["tasks", id, "cancel"]);
        return answer === false || answer?.cancelled === false ? `${id} had already ended.` : `${id} is cancelled.`;
      },
    })
    .then(afterwards(app));
}

export const replayTask = (app, id) => direct(app, post(["tasks", id, "replay"]), `${id} waits again.`);

export const runTask = (app, id) => direct(app, post(["tasks", id, "run"]), ({ due }) => (due ? `${id} is due now.` : `${id} had already ended.`));

export function replayWithArguments(app, task) {
  const json = (value, otherwise) => JSON.stringify(value ?? otherwise, null, 2);
  return dialog
    .ask({
      title: "Replay with other arguments", verb: "Replay",
      text: "They replace all arguments of the task, and are checked as in a submit: the admin's process must know the function.",
      fields: [
        { name: "args", label: "Positional arguments: a JSON list", kind: "textarea", value: json(task.args, []) },
        { name: "kwargs", label: "Keyword arguments: a JSON object", kind: "textarea", value: json(task.kwargs, {}) },
      ],
      act: async (values) => {
        await post(["tasks", task.id, "replay"], { args: asJson(values.args, "Positional"), kwargs: asJson(values.kwargs, "Keyword") });
        return `${task.id} waits again, with these arguments.`;
      },
    })
    .then(afterwards(app));
}

function asJson(text, which) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${which} arguments aren't valid JSON: ${error.message}`);
  }
}

const AT_ONCE = 6;

/** Cancel or replay the tasks that were chosen from a list, a few at a time. */
export function bulk(app, verb, chosen) {
  const isCancel = verb === "cancel";
  const fits = chosen.filter((task) => (isCancel ? !["completed", "failed", "cancelled"].includes(task.status) : ["failed", "cancelled"].includes(task.status)));
  const others = chosen.length - fits.length;
  return dialog
    .ask({
      title: isCancel ? "Cancel tasks" : "Replay tasks", verb: isCancel ? `Cancel ${num(fits.length)}` : `Replay ${num(fits.length)}`, danger: isCancel,
      preview: async () => {
        const children = previewOf(fits.length, fits, "task", isCancel ? "won't run; those that run are asked to stop." : "will wait again, with all retries.");
        if (others) children.push(h("p", { class: "soft" }, `${count(others, "task")} of those you chose ${others === 1 ? "has" : "have"} a state that doesn't fit.`));
        return children;
      },
      act: async () => {
        const problems = [];
        let done = 0;
        for (let place = 0; place < fits.length; place += AT_ONCE) {
          const some = fits.slice(place, place + AT_ONCE).map((task) => post(["tasks", task.id, verb]).then(() => { done += 1; }, (error) => problems.push(`${task.id}: ${error.message}`)));
          await Promise.all(some);
        }
        if (problems.length) throw new Error(`${num(done)} done, ${num(problems.length)} not: ${problems[0]}`);
        return `${count(done, "task")} ${isCancel ? "cancelled" : "replayed"}.`;
      },
    })
    .then(afterwards(app));
}

// --- schedules

export async function runSchedule(app, { name }) {
  await direct(app, post(["schedules", name, "run"]), ({ task_id: id }) => `${id} is submitted.`);
}

export const resumeSchedule = (app, { name }) => direct(app, post(["schedules", name, "resume"]), `${name} goes on with its next tick.`);

export function pauseSchedule(app, { name }) {
  return dialog
    .ask({
      title: `Pause ${name}`, verb: "Pause", fields: [NOTE],
      text: "None of its ticks is submitted until you resume it, also if code declares it again. Tasks that it has submitted go on.",
      act: async ({ note }) => {
        await post(["schedules", name, "pause"], { note });
        return `${name} is paused.`;
      },
    })
    .then(afterwards(app));
}

export function removeSchedule(app, { name, isCode }) {
  return dialog
    .ask({
      title: `Remove ${name}`, verb: "Remove the schedule", danger: true,
      text: isCode ? "Code declares it: it is back when a process starts, unless you remove it there, too. To stop it for a while, pause it." : "It was put as data, and doesn't come back by itself. Tasks that it has submitted stay.",
      act: async () => {
        await remove(["schedules", name]);
        location.hash = "#/schedules";
        return `${name} is removed.`;
      },
    })
    .then(afterwards(app));
}

/** Ask for the time, then show which ticks lie in it, and submit them. */
export async function backfill(app, { name, lastAt }) {
  const until = now();
  let chosen = null;
  const hint = `In ${zoneHere()}`;
  const asked = await dialog.ask({
    title: `Backfill ${name}`, verb: "Preview",
    text: "Submits the ticks of a past time that have no task, for example those of a pause.",
    fields: [
      { name: "start", label: "From", kind: "datetime-local", value: inputTime(Math.min(lastAt ?? Infinity, until - 86_400_000)), hint },
      { name: "end", label: "Until, without it", kind: "datetime-local", value: inputTime(until), hint },
    ],
    act: async ({ start, end }) => {
      const [from, to] = [new Date(start), new Date(end)];
      if (!(from < to)) throw new Error("Choose two times, the earlier one first.");
      chosen = { start: from.toISOString(), end: to.toISOString() };
      await post(["schedules", name, "backfill"], { ...chosen, dry_run: true });
      return null;
    },
  });
  if (!asked) return false;
  return dialog
    .ask({
      title: `Backfill ${name}`, verb: "Submit them",
      preview: async () => {
        const { count: total, task_ids: ids } = await post(["schedules", name, "backfill"], { ...chosen, dry_run: true });
        return previewOf(total, ids.map((id) => ({ id, type: "" })), "task", "will be submitted.");
      },
      act: async () => `${count(counted(await post(["schedules", name, "backfill"], chosen)) ?? 0, "task")} of ${name} submitted.`,
    })
    .then(afterwards(app));
}

// --- dead letters

/** Replay what fits, after a dry run that counts it. */
export function replayDead(app, queue, filter, what) {
  return dialog
    .ask({
      title: `Replay ${what}`, verb: "Replay them",
      preview: () => dryRun(queue, "replay", filter, "will wait again, with all retries."),
      fields: [{ name: "every", label: "Seconds between two of them", value: "0", kind: "number", hint: "Spares a service that has just recovered" }],
      act: async ({ every }) => {
        const seconds = Number(every) || null;
        const done = counted(await post(["queues", queue, "dead-letters", "replay"], { limit: MOST, ...filter, ...(seconds ? { every: seconds } : {}) }));
        return `${count(done ?? 0, "dead letter")} of ${queue} replayed.`;
      },
    })
    .then(afterwards(app));
}

export function purgeDead(app, queue, filter, what) {
  return dialog
    .ask({
      title: `Purge ${what}`, verb: "Remove for good", danger: true,
      preview: () => dryRun(queue, "purge", filter, "will be removed for good, with arguments and errors."),
      act: async () => `${count(counted(await post(["queues", queue, "dead-letters", "purge"], { limit: MOST, ...filter })) ?? 0, "dead letter")} of ${queue} removed.`,
    })
    .then(afterwards(app));
}

const MOST = 100_000; // in one request; the default of the API is lower

async function dryRun(queue, verb, filter, text) {
  const answer = await post(["queues", queue, "dead-letters", verb], { limit: MOST, ...filter, dry_run: true });
  return previewOf(answer.count, (answer.sample || []).map(taskOf), "dead letter", text, { more: answer.more });
}
