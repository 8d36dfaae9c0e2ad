// The limits that single keys of a queue have of their own: listed, set and removed.

import { put, remove } from "../api.js";
import * as dialog from "../dialog.js";
import { h, toast } from "../dom.js";
import { instant, num, until } from "../format.js";
import { rateOf, typedRate } from "../actions.js";
import { settingText } from "../model.js";
import { button, chip } from "../parts.js";

/** Rows as {key, maxWorkers, maxSize, rate, expires}; null stands for what the queue declares. `hasMore`: the API has more. */
export const limitsOf = (raw) => {
  const rows = (Array.isArray(raw.limits) ? raw.limits : []).map(({ key, max_workers: maxWorkers, max_size: maxSize, rate, expires }) => ({
    key: String(key), maxWorkers, maxSize, rate, expires: instant(expires),
  }));
  return Object.assign(rows, { hasMore: Boolean(raw.cursor) });
};

const whole = (name, text) => {
  if (!text.trim()) return null;
  if (!/^\d+$/.test(text.trim())) throw new Error(`${name} takes a whole number, or nothing for what the queue declares.`);
  return Number(text);
};

const lasting = (text) => {
  if (!text.trim()) return null;
  const hours = Number(text);
  if (!(hours > 0)) throw new Error("“Ends after” takes a number of hours, or nothing for no end.");
  return hours * 3600;
};

function set(app, queue, known = null) {
  const asText = (value) => (value === null || value === undefined ? "" : String(value));
  const fields = [
    { name: "max_workers", label: "max_workers", value: asText(known?.maxWorkers), hint: "A whole number; nothing: as the queue declares" },
    { name: "max_size", label: "max_size", value: asText(known?.maxSize), hint: "A whole number; nothing: as the queue declares" },
    { name: "rate", label: "rate", value: known?.rate ? typedRate(known.rate) : "", hint: "Tasks per seconds, as 10/1; “off” for no rate; nothing: as the queue declares" },
    { name: "ends", label: "Ends after (hours)", value: "", hint: "Nothing: until you remove them" },
  ];
  if (!known) fields.unshift({ name: "key", label: "Key", value: "", hint: "As tasks are submitted with" });
  return dialog
    .ask({
      title: known ? `Limits of key ${known.key}` : `Limit a key of ${queue}`, verb: "Put in force", fields,
      text: "They hold for all processes at once, in place of those that the queue declares for each key.",
      act: async (values) => {
        const key = known ? known.key : values.key.trim();
        if (!key) throw new Error("Give the key.");
        const limits = {
          max_workers: whole("max_workers", values.max_workers), max_size: whole("max_size", values.max_size),
          rate: rateOf(values.rate), expires_in: lasting(values.ends),
        };
        await put(["queues", queue, "key-limits", key], limits);
        return `Key ${key} has limits of its own.`;
      },
    })
    .then((done) => done && app.reload());
}

async function end(app, queue, key) {
  try {
    await remove(["queues", queue, "key-limits", key]);
    toast(`Key ${key} has the limits that the queue declares.`);
  } catch (error) {
    toast(error.message, { tone: "red", seconds: 8 });
  }
  app.reload();
}

const own = (value, text) => (value === null || value === undefined ? h("span", { class: "soft" }, "–") : text);

/** The card; null if there are none and none can be set. */
export function keyLimits(app, queue, rows) {
  if (!rows.length && !app.canChange) return null;
  return h(
    "section", { class: "card", "aria-label": "Limits of single keys", key: "key limits" },
    h("div", { class: "card-head" }, h("h2", {}, "Limits of single keys"), app.canChange ? h("div", { class: "buttons" }, button("Limit a key…", () => set(app, queue))) : null),
    rows.length
      ? h(
          "table", { class: "plain settings" },
          h("thead", {}, h("tr", {}, ["Key", "Workers", "Size", "Rate", "Ends"].map((name, place) => h("th", { scope: "col", class: place ? "right" : "", key: name }, name)), app.canChange ? h("th", { scope: "col" }, h("span", { class: "hidden" }, "Change")) : null)),
          h("tbody", {}, rows.map((each) => rowOf(app, queue, each))),
        )
      : h("p", { class: "soft" }, "None: every key has the limits that the queue declares."),
    rows.hasMore ? h("p", { class: "soft" }, "More keys have limits: ", h("code", {}, `kew key ls ${queue} --limit 1000`), " lists them.") : null,
  );
}

function rowOf(app, queue, each) {
  return h(
    "tr", { key: each.key },
    h("td", {}, chip(each.key, { class: "clip", title: each.key })),
    h("td", { class: "right num", "data-label": "Workers" }, own(each.maxWorkers, num(each.maxWorkers))),
    h("td", { class: "right num", "data-label": "Size" }, own(each.maxSize, num(each.maxSize))),
    h("td", { class: "right num", "data-label": "Rate" }, own(each.rate, settingText("rate", each.rate))),
    h("td", { class: "right", "data-label": "Ends" }, each.expires ? ["in ", until(each.expires, { class: "num" })] : h("span", { class: "soft" }, "never")),
    app.canChange
      ? h(
          "td", { class: "change" },
          button("Change", () => set(app, queue, each), { kind: "quiet", "aria-label": `Change the limits of key ${each.key}` }),
          button("Remove", () => end(app, queue, each.key), { kind: "quiet", "aria-label": `Remove the limits of key ${each.key}` }),
        )
      : null,
  );
}
