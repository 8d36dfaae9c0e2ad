// The keyboard: `/` searches, `j` and `k` move through rows, `Enter` opens, `g` and a letter goes, `?` lists all.

import { h } from "./dom.js";
import * as dialog from "./dialog.js";
import { button } from "./parts.js";

const KEYS = [
  [["/"], "Search a task id, queue or type"],
  [["j"], "Next row"],
  [["k"], "Previous row"],
  [["Enter"], "Open the row"],
  [["g", "o"], "Go to the overview"],
  [["g", "t"], "Go to the tasks"],
  [["g", "d"], "Go to the dead letters"],
  [["g", "s"], "Go to the schedules"],
  [["g", "p"], "Go to the processes"],
  [["Esc"], "Close a dialog, leave the search"],
  [["?"], "Show this list"],
];
const PLACES = { o: "#/", t: "#/tasks", d: "#/dead", s: "#/schedules", p: "#/processes" };

let wentAt = 0;

function isTyping(element) {
  return element?.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element?.nodeName || "");
}

function move(step) {
  const rows = [...document.querySelectorAll("main [data-row]")];
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[now === -1 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, now + step))];
  const link = next.querySelector(".row-link") || next;
  link.focus();
  next.scrollIntoView({ block: "nearest" });
}

export const onKey = {
  help() {
    if (document.querySelector("dialog[open]")) return;
    dialog.open("Keyboard", (close) =>
      h(
        "div", {},
        h("dl", { class: "keys" }, KEYS.map(([keys, text]) => h("div", {}, h("dt", {}, keys.map((each) => h("kbd", {}, each))), h("dd", {}, text)))),
        h("div", { class: "buttons end" }, button("Close", () => close())),
      ),
    );
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  if (isTyping(event.target) && event.target.type !== "checkbox") {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const hasGone = Date.now() - wentAt < 1200;
  wentAt = 0;
  if (hasGone && PLACES[event.key]) location.hash = PLACES[event.key];
  else if (event.key === "/") document.getElementById("search")?.focus();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") onKey.help();
  else if (event.key === "g") wentAt = Date.now();
  else return;
  event.preventDefault();
});
