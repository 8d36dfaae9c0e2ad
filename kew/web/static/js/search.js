// The search field: a task id, a queue, or a type of task. A combobox with a list of what fits.

import { get } from "./api.js";
import { h } from "./dom.js";
import { href } from "./parts.js";

let text = "";
let chosen = 0;
let isOpen = false;

function fits(app) {
  const words = text.trim();
  if (!words) return [];
  const lower = words.toLowerCase();
  const queues = (app.queues || []).filter(({ name }) => name.toLowerCase().includes(lower)).slice(0, 6);
  return [
    ...queues.map(({ name }) => ({ text: name, kind: "queue", to: href("queue", name) })),
    { text: words, kind: "task id", to: href("task", words), task: words },
    { text: words, kind: "function", to: `#/tasks?function=${encodeURIComponent(words)}` },
  ];
}

/** Open what was chosen. A text that is no queue may be a task's id or a type: ask the server. */
async function go(item, app) {
  if (!item) return;
  let to = item.to;
  if (item.task && item.asked) to = await get(["tasks", item.task]).then(() => item.to, () => `#/tasks?function=${encodeURIComponent(item.task)}`);
  text = "";
  isOpen = false;
  const field = document.getElementById("search");
  field.value = "";
  field.blur();
  location.hash = to;
  app.redraw();
}

export function search(app) {
  const found = fits(app);
  chosen = Math.min(chosen, Math.max(found.length - 1, 0));
  const redraw = () => window.dispatchEvent(new Event("kew-search"));
  const on = {
    input: (event) => {
      text = event.target.value;
      chosen = 0;
      isOpen = true;
      redraw();
    },
    focus: () => {
      isOpen = true;
      redraw();
    },
    blur: () => {
      isOpen = false;
      setTimeout(redraw, 150);
    },
    keydown: (event) => {
      if (event.key === "ArrowDown") chosen = Math.min(found.length - 1, chosen + 1);
      else if (event.key === "ArrowUp") chosen = Math.max(0, chosen - 1);
      else if (event.key === "Enter") {
        const item = fits(app)[chosen];
        go(item && { ...item, asked: chosen === 0 }, app);
        return;
      } else return;
      event.preventDefault();
      redraw();
    },
  };
  const isShown = isOpen && found.length > 0;
  return h(
    "div", { class: "search", role: "search", key: "search" },
    h("input", {
      id: "search", type: "text", role: "combobox", placeholder: matchMedia("(max-width: 640px)").matches ? "Search" : "Search a task id, queue or type", "aria-label": "Search a task id, queue or type",
      "aria-expanded": String(isShown), "aria-controls": "search-list", "aria-autocomplete": "list", "aria-activedescendant": isShown ? `search-${chosen}` : null,
      autocomplete: "off", spellcheck: "false", on,
    }),
    h("kbd", { "aria-hidden": "true" }, "/"),
    h(
      "ul", { id: "search-list", role: "listbox", "aria-label": "What fits", hidden: !isShown },
      found.map((item, place) =>
        h("li", { id: `search-${place}`, role: "option", "aria-selected": String(place === chosen), key: place, on: { mousedown: (event) => { event.preventDefault(); go(item, app); } } }, item.text, " ", h("span", { class: "soft small" }, item.kind)),
      ),
    ),
  );
}
