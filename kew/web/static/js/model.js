// What the API says, as the views need it. The one place that knows the API's names.

import { countdown, duration, instant, now, num, sum } from "./format.js";

const list = (value) => (Array.isArray(value) ? value : []);
const number = (value, fallback = null) => (typeof value === "number" && Number.isFinite(value) ? value : fallback);

/** A queue as a row of the overview, or as the head of its page. */
export function queueOf(raw) {
  const status = raw.status && typeof raw.status === "object" ? { ...raw, ...raw.status } : raw;
  const breaker = String(status.circuit_breaker_status || "closed").toLowerCase().replace("-", "_");
  return {
    name: String(status.name ?? status.queue ?? ""),
    limit: number(status.max_workers, 0),
    used: number(status.current_workers, 0),
    waiting: number(status.queued_tasks, 0),
    maxSize: number(status.max_size),
    priorities: status.queued_by_priority || {},
    paused: Boolean(status.paused),
    pauseNote: status.pause_note || "",
    pausedBy: status.pause_by || "",
    pausedSince: instant(status.pause_since),
    draining: Boolean(status.draining),
    drainNote: status.drain_note || "",
    drainedBy: status.drain_by || "",
    drainingSince: instant(status.drain_since),
    snoozedUntil: instant(status.snoozed_until),
    breaker,
    failures: number(status.consecutive_failures, 0),
    probeAt: instant(status.breaker?.probe_at),
    openedAt: instant(status.breaker?.opened_at),
    opensAfter: number(status.breaker?.opens_after),
    lastFailures: list(status.breaker?.failures),
    processes: list(status.processes),
    stuck: status.stuck_functions || {},
    unreadable: number(status.unreadable_tasks, 0),
    deadLetters: number(status.dead_letters),
    overrides: status.overrides || {},
    notifications: status.notifications,
    history: status.history ? historyOf(status.history) : null,
  };
}

/** Points of a history as one list per series. Also takes lists, as rows may carry them. */
export function historyOf(raw) {
  const step = number(raw.step, 60);
  if (!Array.isArray(raw.points)) {
    const series = { step, at: [] };
    for (const [name, values] of Object.entries(raw)) if (Array.isArray(values)) series[name] = values;
    const count = series.completed?.length || 0;
    const open = Math.floor(now() / 1000 / step) * step * 1000; // steps begin at whole minutes and hours
    for (let place = 0; place < count; place += 1) series.at.push(open - (count - 1 - place) * step * 1000);
    return series;
  }
  const names = [
    "submitted", "started", "completed", "failed", "retried", "lost", "cancelled", "wait_p50", "wait_p95", "run_p50", "run_p95",
  ];
  const series = { step, at: raw.points.map((point) => instant(point.at)) };
  for (const name of names) series[name] = raw.points.map((point) => number(point[name]));
  return series;
}

/** Counts without the open step, which would look like a drop; with it if there is nothing else. */
export function wholeSteps(values) {
  const whole = (values || []).slice(0, -1);
  return whole.some((value) => value) ? whole : values || [];
}

const SHORTEST_S = 10; // the least time for which a pace is computed

/**
 * Per minute: over the last whole steps and the open one, from the first in which anything happened. So a queue that
 * has just begun isn't slow.
 */
export function pace(history, name, steps = 5) {
  const values = history?.[name];
  if (!values?.length) return null;
  const from = Math.max(0, values.length - steps - 1);
  const has = (place) => ["submitted", "started", "completed"].some((each) => history[each]?.[place]);
  let first = from;
  while (first < values.length - 1 && !has(first)) first += 1;
  const began = history.at?.[first] ?? now() - (values.length - first) * history.step * 1000;
  const elapsed = Math.max(SHORTEST_S, (now() - began) / 1000);
  return ((sum(values.slice(first)) ?? 0) / elapsed) * 60;
}

/** The last known value of a series, looking back a few steps. */
export function latest(history, name, steps = 5) {
  const values = history?.[name]?.slice(-steps - 1) || [];
  for (let place = values.length - 1; place >= 0; place -= 1) if (typeof values[place] === "number") return values[place];
  return null;
}

const stuckCount = (queue) => sum(Object.values(queue.stuck)) || 0;
/** By whom and why. A note often names its author itself. */
function noteText(by, note) {
  const whom = by && !note.startsWith(by) ? ` by ${by}` : "";
  return `${whom}${note ? `, “${note}”` : ""}`;
}

/** The queue's state: a tone, and words that say it without the colour. */
export function stateOf(queue) {
  if (!queue.processes.length && queue.waiting) return { code: "no_process", tone: "red", text: "no process works on it" };
  if (queue.breaker === "open") {
    const when = queue.probeAt && queue.probeAt > now() ? ` · probe in ${countdown(queue.probeAt)}` : "";
    return { code: "breaker_open", tone: "red", text: `breaker open${when}` };
  }
  if (queue.breaker === "half_open") return { code: "breaker_half_open", tone: "amber", text: "breaker half open · probing" };
  if (queue.paused) return { code: "paused", tone: "grey", text: `paused${noteText(queue.pausedBy, queue.pauseNote)}` };
  if (queue.draining) return { code: "draining", tone: "blue", text: `draining${noteText(queue.drainedBy, queue.drainNote)}` };
  if (queue.maxSize && queue.waiting >= queue.maxSize) return { code: "full", tone: "amber", text: "full" };
  if (queue.snoozedUntil && queue.snoozedUntil > now())
    return { code: "queue_snoozed", tone: "blue", text: `snoozed · resumes in ${countdown(queue.snoozedUntil)}` };
  if (stuckCount(queue)) return { code: "function_unknown", tone: "amber", text: `working · ${num(stuckCount(queue))} tasks of unknown functions` };
  if (!queue.processes.length) return { code: "idle", tone: "grey", text: "idle · no process" };
  if (queue.limit && queue.used >= queue.limit && queue.waiting) return { code: "slots_full", tone: "green", text: "working · all slots taken" };
  if (queue.used || queue.waiting) return { code: "working", tone: "green", text: "working" };
  return { code: "idle", tone: "green", text: "idle" };
}

/** What to do about it comes with each: `title`, `tone`, `text`, and the page's own actions by `code`. */
export function attentionOf(raw) {
  const severity = String(raw.severity || "info");
  const tone = /crit|error|alert/.test(severity) ? "red" : /warn/.test(severity) ? "amber" : "blue";
  return {
    severity,
    tone,
    code: String(raw.code || ""),
    queue: raw.queue === null || raw.queue === undefined ? "" : String(raw.queue),
    text: String(raw.text || ""),
    action: typeof raw.action === "string" ? raw.action : "",
  };
}

const WORDS = {
  breaker_open: "breaker open", breaker_half_open: "breaker half open", full: "full", queue_full: "full", paused: "paused",
  draining: "draining", no_process: "no process", function_unknown: "unknown function", dead_letters: "dead letters",
  slots_full: "all slots taken", rate: "held back by its rate", behind: "falling behind", queue_snoozed: "snoozed",
  unreadable: "unreadable tasks", lost: "lost workers", process_silent: "silent process", key_full: "keys at their limit",
};

export const codeWords = (code) => WORDS[code] || code.replaceAll("_", " ");

/** A function's name; that of a closure without the process that it belongs to. */
export const functionText = (name) => String(name).replace(/^@[^/]*\/\d*:?/, "");

/** A task, from a TaskInfo. */
export function taskOf(raw) {
  return {
    id: String(raw.task_id ?? raw.id ?? ""),
    type: String(raw.task_type ?? ""),
    function: raw.function ? functionText(raw.function) : null,
    queue: String(raw.queue_name ?? raw.queue ?? ""),
    key: raw.key ?? null,
    priority: raw.priority,
    status: String(raw.status || "queued").toLowerCase(),
    queuedAt: instant(raw.queued_time),
    startedAt: instant(raw.started_time),
    endedAt: instant(raw.completed_time),
    dueAt: instant(raw.due_time),
    result: raw.result,
    error: raw.error || "",
    retries: number(raw.retry_count, 0),
    maxRetries: number(raw.max_retries),
    attempt: number(raw.attempt, 0),
    snoozes: number(raw.snooze_count, 0),
    process: raw.process || "",
    attempts: list(raw.attempts).map(attemptOf),
    progress: raw.progress ? { value: number(raw.progress.value, 0), message: String(raw.progress.message || ""), at: instant(raw.progress.time) } : null,
    checkpoint: raw.checkpoint ? { attempt: number(raw.checkpoint.attempt, 0), size: number(raw.checkpoint.size, 0) } : null,
    args: raw.args,
    kwargs: raw.kwargs,
    unreadable: raw.unreadable || "",
    redacted: Boolean(raw.redacted),
  };
}

function attemptOf(raw) {
  return {
    number: number(raw.number, 0),
    at: instant(raw.failed_time),
    seconds: number(raw.seconds),
    process: raw.process || "",
    how: String(raw.how || "failed"),
    group: raw.group || "",
    type: raw.error_type || "",
    message: raw.message || "",
    traceback: raw.traceback || "",
  };
}

export const ENDED = new Set(["completed", "failed", "cancelled"]);

const STATUS = {
  queued: ["blue", "waiting"], pending: ["blue", "waiting"], waiting: ["blue", "waiting"], deferred: ["grey", "deferred"],
  retry: ["amber", "waiting for a retry"], snoozed: ["amber", "snoozed"], processing: ["green", "running"], running: ["green", "running"],
  completed: ["green", "completed"], failed: ["red", "failed"], cancelled: ["grey", "cancelled"],
};

/** A task's status: a tone and a word. */
export function statusOf(task) {
  const [tone, text] = STATUS[task.status] || ["grey", task.status];
  return { tone, text };
}

const PRIORITIES = { 1: "high", 2: "medium", 3: "low" };
export const priorityWord = (value) => PRIORITIES[value] ?? String(value ?? "–").toLowerCase();

/** A setting's value in words. */
export function settingText(name, value) {
  if (value === null || value === undefined) return "none";
  if (Array.isArray(value)) return value.length ? value.map((each) => settingText(name, each)).join(", ") : "none";
  if (typeof value === "object") {
    if ("limit" in value && "per" in value) return rateText(value.limit, value);
    if ("count" in value && "per" in value) return rateText(value.count, value);
    const parts = Object.entries(value).filter(([, each]) => each !== null && each !== undefined);
    return parts.map(([key, each]) => `${key.replaceAll("_", " ")} ${settingText(key, each)}`).join(", ") || "none";
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (name === "priority") return priorityWord(value);
  return SECONDS.test(name) ? duration(value) : num(value);
}

const SECONDS = /(_timeout|_delay|_ttl|^lease|_seconds)$/;
const UNITS = { 1: "s", 60: "min", 3600: "h", 86400: "day" };

/** "min", "h", "30 s": what follows "per" or a slash. */
export const perText = (seconds) => UNITS[seconds] || duration(seconds);

const rateText = (limit, { per, burst }) => `${num(limit)} / ${perText(per)}${burst ? `, burst ${num(burst)}` : ""}`;

/** Settings as rows: {name, declared, inForce, isOverridden, by, at}. */
export function settingsOf(raw) {
  const settings = raw.settings || {};
  const overrides = raw.overrides || raw.status?.overrides || settings.overrides || {};
  const row = (name, declared, inForce, more = {}) => {
    const override = overrides[name];
    return {
      name,
      declared: override ? override.declared : declared,
      inForce: override ? override.value : inForce,
      isOverridden: Boolean(override) || Boolean(more.overridden),
      by: override?.by ?? "",
      at: instant(override?.set_time ?? null),
      note: override?.note ?? more.note ?? "",
    };
  };
  const names = new Set([...Object.keys(settings), ...Object.keys(overrides)]);
  return [...names].map((name) => {
    const each = settings[name];
    return each ? row(name, each.declared, each.value, each) : row(name, null, null);
  });
}

const CAUSES = {
  failures: "failures in a row", reset_timeout: "the reset timeout had passed", probe_succeeded: "a probe succeeded",
  probe_failed: "a probe failed", operator: "an operator", turned_off: "the settings have no breaker any more",
};
const BREAKER_TONES = { open: "red", half_open: "amber", closed: "green" };

/** What the breaker did, the latest first: {at, state, tone, why, taskId}. */
export const breakerChangesOf = (raw) =>
  list(raw.changes).map(({ time, state, cause, error, task_id: taskId, by }) => ({
    at: instant(time), state: String(state).replace("_", " "), tone: BREAKER_TONES[state] || "grey", taskId,
    why: by ? `by ${by}` : `${CAUSES[cause] || cause}${error ? `: ${error}` : ""}`,
  }));

/** The keys that run most and those that wait longest: {key, running, delay, limit, isFull}; null if nothing is known. */
export function keysOf(raw, limits = []) {
  if (!raw.keys?.busiest) return null;
  const declared = raw.settings?.["per_key.max_workers"]?.value ?? null;
  const limitOf = (key) => limits.find((own) => own.key === key)?.maxWorkers ?? declared;
  const found = new Map();
  const at = (key) => found.get(key) || found.set(key, { key, running: null, delay: null }).get(key);
  for (const { key, running } of raw.keys.busiest) at(String(key)).running = number(running, 0);
  for (const { key, delay } of list(raw.keys.delayed)) at(String(key)).delay = number(delay);
  const rows = [...found.values()].map((each) => {
    const limit = limitOf(each.key);
    return { ...each, limit, isFull: limit !== null && each.running !== null && each.running >= limit };
  });
  return rows.sort((a, b) => (b.delay ?? -1) - (a.delay ?? -1) || (b.running ?? 0) - (a.running ?? 0));
}

/**
 * The way through a queue, gate by gate: [{name, value, note, share, tone, holds}], where `holds` marks the one that
 * holds tasks back; and one sentence about it.
 */
export function admission(queue, { rates = [], keys = null, perKey = null, history = null, breakerLimit = null }) {
  const arrivals = pace(history, "submitted");
  const drain = pace(history, "completed");
  const free = Math.max(0, queue.limit - queue.used);
  const stages = [{ id: "arrivals", name: "Arrivals", value: arrivals === null ? "–" : `${perMinuteText(arrivals)}/min`, note: "last 5 minutes" }];
  const add = (id, stage) => stages.push({ id, ...stage });

  add("paused", queue.paused ? { name: "Paused", value: "yes", note: queue.pauseNote || (queue.pausedBy ? `by ${queue.pausedBy}` : "no note"), tone: "grey", wants: true } : { name: "Paused", value: "no", note: "" });
  if (queue.snoozedUntil && queue.snoozedUntil > now())
    add("snoozed", { name: "Snoozed", value: countdown(queue.snoozedUntil), until: queue.snoozedUntil, note: "until it resumes", tone: "blue", wants: true });
  add("breaker", {
    name: "Breaker",
    value: queue.breaker === "half_open" ? "half open" : queue.breaker,
    note: queue.breaker === "open" && queue.probeAt ? `probe in ${countdown(queue.probeAt)}` : breakerLimit ? `${num(queue.failures)} of ${num(breakerLimit)} failures` : breakerLimit === null ? "" : "off",
    tone: queue.breaker === "open" ? "red" : "amber",
    wants: queue.breaker !== "closed",
    share: queue.breaker === "open" ? 1 : breakerLimit ? Math.min(1, queue.failures / breakerLimit) : null,
  });
  const rate = rates[0];
  if (rate) {
    const started = startedWithin(history, rate.per);
    const limit = rate.limit ?? rate.count;
    const share = started === null ? null : Math.min(1, started / limit);
    add("rate", {
      name: "Rate", value: started === null ? num(limit) : `${num(Math.min(started, limit))} of ${num(limit)}`, note: `may start per ${perText(rate.per)}`,
      tone: "blue", share, wants: share !== null && share >= 0.97 && free > 0 && queue.waiting > 0,
    });
  }
  if (perKey && keys === null) add("keys", { name: "Keys", value: `${num(perKey)} at once`, note: "for each key" });
  else if (perKey || keys?.length) {
    const full = keys.filter(({ isFull }) => isFull);
    const delayed = keys.filter(({ delay }) => delay !== null);
    add("keys", {
      name: "Keys", value: full.length ? `${num(full.length)} at their limit` : "free", tone: "amber",
      note: full.slice(0, 3).map(({ key }) => key).join(", ") || (perKey ? `${num(perKey)} at once for each` : ""),
      share: keys.length ? full.length / keys.length : null,
      wants: delayed.length > 0 && free > 0 && delayed.every(({ isFull }) => isFull),
    });
  }
  const hasNone = queue.processes.length === 0;
  add("slots", {
    name: "Slots", value: `${num(queue.used)} of ${num(queue.limit)}`, tone: hasNone ? "red" : "green",
    note: hasNone ? "no process" : `${num(free)} free`, share: queue.limit ? queue.used / queue.limit : 0,
    wants: queue.waiting > 0 && (hasNone || free === 0),
  });
  stages.push({ id: "drain", name: "Drain", value: drain === null ? "–" : `${perMinuteText(drain)}/min`, note: drain ? "completed" : "nothing completes" });

  const holder = stages.find((stage) => stage.wants);
  for (const stage of stages) stage.holds = stage === holder;
  return { stages, holder: holder?.id || null, arrivals, drain };
}

const perMinuteText = (value) => (value > 0 && value < 10 ? value.toFixed(1).replace(/\.0$/, "") : num(value));

/** About how many tasks started in the last `per` seconds; null if the steps are too long to say. */
function startedWithin(history, per) {
  const values = history?.started;
  if (!values?.length || per < history.step) return null;
  const began = history.at?.at(-1) ?? now();
  const open = Math.min(history.step, Math.max(0, (now() - began) / 1000));
  let total = values.at(-1) ?? 0;
  let left = per - open;
  for (let place = values.length - 2; place >= 0 && left > 0; place -= 1) {
    total += (values[place] ?? 0) * Math.min(1, left / history.step);
    left -= history.step;
  }
  return Math.round(total);
}

/** What follows from the strip: [{bold, text}…] as [[text, isBold]…]. */
export function verdict(queue, { holder, arrivals, drain }) {
  const waiting = `${num(queue.waiting)} waiting`;
  const words = [];
  const say = (text, isBold = false) => words.push([text, isBold]);
  const held = {
    paused: ["The ", "pause", ` holds everything back: ${waiting}. Nothing starts until you resume the queue.`],
    snoozed: ["The ", "queue's snooze", ` holds everything back: ${waiting}, until it resumes by itself.`],
    breaker: ["The ", "breaker", queue.breaker === "half_open" ? ` lets one probe through; ${waiting} meanwhile.` : ` holds everything back: ${waiting}${queue.opensAfter ? ` after ${num(queue.opensAfter)} failures in a row` : ""}.`],
    rate: ["The ", "rate", " is the bottleneck"],
    keys: ["The ", "keys' limits", " are the bottleneck: slots are free, but nearly all that waits has a key that is at its limit"],
    slots: queue.processes.length ? ["The ", "slots", " are the bottleneck: all of them are taken"] : ["", "No process", ` works on this queue: ${waiting}. Start one that calls create_queue().`],
  }[holder];
  if (!held) {
    if (!queue.waiting) say("Nothing waits: tasks start as they arrive.");
    else if (queue.draining) say(`It drains: ${waiting}, and nothing new is accepted.`);
    else if (stuckCount(queue)) {
      say(stuckCount(queue) === 1 ? "1 task waits" : `${num(stuckCount(queue))} tasks wait`, true);
      say(` for a function that no process knows: ${Object.keys(queue.stuck).slice(0, 3).join(", ")}. Start a worker that registers it, or purge them.`);
    } else say(`Nothing holds it back: ${waiting} or not yet due.`);
    return words;
  }
  say(held[0]);
  say(held[1], true);
  say(held[2]);
  if (["rate", "keys", "slots"].includes(holder) && queue.processes.length) {
    if (arrivals !== null && drain !== null) {
      const grows = arrivals - drain;
      say(`. ${perMinuteText(arrivals)} arrive and ${perMinuteText(drain)} complete each minute`);
      if (grows > 0.5 && queue.maxSize > queue.waiting) {
        say(`: at this pace the ${waiting} grow by ${perMinuteText(grows)} a minute, and the queue is full in `);
        say(duration(((queue.maxSize - queue.waiting) / grows) * 60), true);
      } else if (grows < -0.5 && queue.waiting) {
        say(`: at this pace the ${waiting} are done in `);
        say(duration((queue.waiting / -grows) * 60), true);
      }
    }
    say(".");
  }
  return words;
}
