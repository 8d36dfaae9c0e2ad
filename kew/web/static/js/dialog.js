// Dialogs: the browser's own <dialog>, so that focus stays inside and returns afterwards.

import { h, show, toast } from "./dom.js";
import { button } from "./parts.js";

/** Show a dialog; `content(close)` gives its children. Resolves with what `close(value)` was called with. */
export function open(title, content, { wide = false } = {}) {
  return new Promise((resolve) => {
    const body = h("div", { class: "dialog-body" });
    const dialog = h("dialog", { class: wide ? "wide" : "", "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title" }, title), body);
    let answer = null;
    const close = (value = null) => {
      answer = value;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) close();
    });
    const draw = () => show(body, content(close, draw));
    draw();
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[data-first]") || dialog.querySelector("input, textarea, select, button"))?.focus();
  });
}

/**
 * Ask before something is done, do it, and say so.
 *
 * `fields`: [{name, label, placeholder, value, kind, hint}]; `preview()`: resolves to children (the count and a
 * sample) and must succeed before the button works; `act(values)`: resolves to the message. A failure stays in the
 * dialog. Resolves with true if it was done.
 */
export function ask({ title, text = null, verb, danger = false, fields = [], preview = null, act }) {
  const values = Object.fromEntries(fields.map(({ name, value }) => [name, value ?? ""]));
  let problem = "";
  let works = false;
  let seen = preview ? null : [];
  let refused = false;
  return open(title, (close, draw) => {
    if (preview && seen === null) {
      seen = [h("p", { class: "soft" }, "Counting…")];
      refused = true;
      preview()
        .then((children) => {
          seen = children;
          refused = children.nothing === true;
        })
        .catch((error) => {
          problem = error.message;
        })
        .finally(draw);
    }
    const submit = async (event) => {
      event.preventDefault();
      if (works || refused) return;
      works = true;
      problem = "";
      draw();
      try {
        const message = await act(values);
        if (message) toast(message);
        close(true);
      } catch (error) {
        works = false;
        problem = error.message || String(error);
        draw();
      }
    };
    return h(
      "form", { method: "dialog", on: { submit } },
      text ? h("p", { class: "wrap" }, text) : null,
      seen.length ? h("div", { class: "preview", "aria-live": "polite" }, seen) : null,
      fields.map((field) => fieldOf(field, values)),
      problem ? h("p", { class: "problem red wrap", role: "alert" }, problem) : null,
      h(
        "div", { class: "buttons end" },
        button("Cancel", () => close(), { "data-first": danger && !fields.length }),
        h("button", { type: "submit", class: `button ${danger ? "danger" : "main"}`, disabled: works || refused, "data-verb": true }, works ? "Working…" : verb),
      ),
    );
  });
}

function fieldOf({ name, label, placeholder = null, kind = "text", hint = "", rows = 4, spellcheck = "false", maxlength = null }, values) {
  const on = { input: (event) => { values[name] = event.target.value; } };
  const shared = { name, placeholder, spellcheck, maxlength, autocomplete: "off", set: { value: values[name] }, on, "data-first": name === "note" || null };
  const control = kind === "textarea" ? h("textarea", { ...shared, rows }) : h("input", { ...shared, type: kind });
  return h("label", { class: "field", key: name }, label, control, hint ? h("span", { class: "small soft" }, hint) : null);
}
