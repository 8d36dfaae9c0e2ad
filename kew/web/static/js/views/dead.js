// Dead letters by group: why they failed; replay one as a canary, then the group; purge.

import * as actions from "../actions.js";
import { get, post } from "../api.js";
import { h, toast } from "../dom.js";
import { ago, count, instant, num, sum } from "../format.js";
import { ENDED, statusOf, taskOf } from "../model.js";
import { button, chip, empty, href, state, traceback } from "../parts.js";

export const title = () => "Dead letters";
export const every = true;

const canaries = new Map(); // "queue group" -> task

export async function load({ app, options, signal }) {
  const names = options.queue ? [options.queue] : (app.queues || []).filter(({ deadLetters }) => deadLetters !== 0).map(({ name }) => name);
  const groups = [];
  const left = [...names];
  const one = async () => {
    for (let queue = left.shift(); queue; queue = left.shift()) {
      const found = await get(["queues", queue, "dead-letter-groups"], {}, signal);
      for (const each of found.groups) groups.push(groupOf(each, queue));
    }
  };
  await Promise.all([one(), one(), one(), one()]);
  groups.sort((a, b) => (b.lastAt ?? 0) - (a.lastAt ?? 0));
  await followCanaries(signal);
  const open = options.group !== undefined ? groups.find((each) => each.queue === options.queue && each.name === options.group) : null;
  const letters = open ? await get(["queues", open.queue, "dead-letters"], { group: open.name, limit: 20, cursor: options.cursor }, signal) : null;
  return { groups, open, letters: letters && { tasks: (letters.tasks || []).map(taskOf), cursor: letters.cursor ?? null } };
}

function groupOf(raw, queue) {
  const name = String(raw.name ?? "");
  const [error, place = ""] = [name.split("@")[0], name.split("@").slice(1).join("@")];
  return { queue, name, error, place, count: raw.count || 0, firstAt: instant(raw.first_time), lastAt: instant(raw.last_time), example: String(raw.example || "") };
}

export const head = () => h("div", { class: "head", key: "head" }, h("h1", {}, "Dead letters"));

export function draw({ app, data, options }) {
  const { groups } = data;
  const total = sum(groups.map((each) => each.count)) ?? 0;
  const queues = app.queues || [];
  return h(
    "div", { class: "stack", key: "dead" },
    h(
      "div", { class: "head", key: "head" },
      h("h1", {}, "Dead letters"),
      h("span", { class: "soft" }, total ? `${num(total)} in ${count(groups.length, "group")}` : "none"),
      h(
        "div", { class: "buttons" },
        h("select", { "aria-label": "Queue", set: { value: options.queue || "" }, on: { change: (event) => app.setOptions({ queue: event.target.value }) } },
          h("option", { value: "", selected: !options.queue }, "All queues"), queues.map(({ name }) => h("option", { value: name, key: name, selected: name === options.queue }, name))),
        app.canChange && options.queue && total
          ? [button("Replay all…", () => actions.replayDead(app, options.queue, {}, `all dead letters of ${options.queue}`)), button("Purge all…", () => actions.purgeDead(app, options.queue, {}, `all dead letters of ${options.queue}`))]
          : null,
      ),
    ),
    groups.length
      ? h("ul", { class: "stack groups" }, groups.map((each) => groupCard(app, each, data, options)))
      : h("div", { class: "card", key: "none" }, empty(options.queue ? `No dead letters in ${options.queue}` : "No dead letters", "A task that fails for good is kept here, with its errors, until you replay or purge it, or until it expires.")),
    gone(app, groups),
  );
}

function groupCard(app, group, data, options) {
  const isOpen = data.open === group;
  const filter = { group: group.name };
  const what = `${count(group.count, "dead letter")} of this group`;
  return h(
    "li", { class: "card group", key: `${group.queue} ${group.name}`, "data-row": true },
    h(
      "div", { class: "group-head" },
      h(
        "div", { class: "group-what" },
        h("h2", { class: "wrap" },
          h("a", { class: "row-link", href: isOpen ? `#/dead?${new URLSearchParams(options.queue ? { queue: options.queue } : {})}` : `#/dead?${new URLSearchParams({ queue: group.queue, group: group.name })}`, "aria-expanded": String(isOpen) }, h("span", { class: "red tone" }, group.error || "unknown"), group.place ? [h("span", { class: "soft" }, " at "), h("span", { class: "mono small" }, group.place)] : null)),
        h("p", { class: "small soft" }, h("a", { class: "link", href: href("queue", group.queue) }, group.queue), " · first ", ago(group.firstAt), " · last ", ago(group.lastAt), group.example ? [" · for example ", h("a", { href: href("task", group.example) }, chip(group.example))] : null),
      ),
      h("span", { class: "group-count num", title: what }, num(group.count)),
    ),
    app.canChange
      ? h(
          "div", { class: "buttons" },
          button("Replay one", () => releaseCanary(app, group), { kind: "main", title: "One as a canary: see whether it works now" }),
          button(`Replay all ${num(group.count)}…`, () => actions.replayDead(app, group.queue, filter, what)),
          button("Purge…", () => actions.purgeDead(app, group.queue, filter, what)),
          isOpen ? null : h("a", { class: "button quiet", href: `#/dead?${new URLSearchParams({ queue: group.queue, group: group.name })}` }, "Show them"),
        )
      : null,
    canaryLine(app, group),
    isOpen && data.letters ? letters(app, data.letters, options) : null,
  );
}

function letters(app, page, options) {
  if (!page.tasks.length && !page.cursor) return empty("None are left in this group");
  return h(
    "div", { class: "letters" },
    h("ul", {}, page.tasks.map((task) => h(
      "li", { key: task.id },
      h("a", { class: "mono", href: href("task", task.id) }, task.id),
      h("span", { class: "soft clip-line", title: task.error }, task.error),
      h("span", { class: "soft small num" }, ago(task.endedAt)),
    ))),
    why(page.tasks[0]),
    page.cursor ? button("Next page", () => app.setOptions({ ...options, cursor: page.cursor })) : null,
  );
}

/** Why the newest of them failed. */
function why(task) {
  const last = task?.attempts.at(-1);
  return last?.traceback ? h("div", { class: "why-dead" }, h("p", { class: "small soft" }, "The last failure of ", chip(task.id), last.process ? [" on ", chip(last.process)] : null), traceback(last.traceback)) : null;
}

// --- the canary

const keyOf = (group) => `${group.queue} ${group.name}`;

async function releaseCanary(app, group) {
  try {
    const found = await get(["queues", group.queue, "dead-letters"], { group: group.name, limit: 1 });
    const task = found.tasks?.[0] && taskOf(found.tasks[0]);
    if (!task) {
      toast("None are left in this group.");
      return app.reload();
    }
    await post(["tasks", task.id, "replay"]);
    canaries.set(keyOf(group), { ...task, status: "queued", queue: group.queue, group: group.name });
    toast(`${task.id} runs again as a canary.`);
  } catch (error) {
    toast(error.message, { tone: "red", seconds: 8 });
  }
  app.reload();
}

async function followCanaries(signal) {
  for (const [key, canary] of canaries) {
    if (ENDED.has(canary.status) && canary.settled) continue;
    try {
      const task = taskOf(await get(["tasks", canary.id], {}, signal));
      canaries.set(key, { ...canary, status: task.status, error: task.error, settled: ENDED.has(task.status) });
    } catch (error) {
      if (error.name === "AbortError" || error.status === 401) throw error;
      canaries.delete(key);
    }
  }
}

function canaryLine(app, group) {
  const canary = canaries.get(keyOf(group));
  if (!canary) return null;
  const said = statusOf(canary);
  const works = canary.status === "completed";
  return h(
    "p", { class: `canary ${said.tone}`, role: "status" },
    "Canary ", h("a", { href: href("task", canary.id) }, chip(canary.id)), " ", state({ tone: said.tone, text: said.text }),
    works && group.count && app.canChange ? [" ", button(`Replay the other ${num(group.count)}…`, () => actions.replayDead(app, group.queue, { group: group.name }, `${count(group.count, "dead letter")} of this group`), { kind: "main" })] : null,
    canary.status === "failed" ? h("span", { class: "wrap" }, ` ${canary.error}: the cause is still there.`) : null,
  );
}

/** Canaries of groups that are empty now. */
function gone(app, groups) {
  const known = new Set(groups.map(keyOf));
  const rest = [...canaries].filter(([key]) => !known.has(key));
  return rest.map(([key, canary]) => h("div", { class: "card", key }, canaryLine({ canChange: false }, { queue: canary.queue, name: canary.group, count: 0 })));
}
