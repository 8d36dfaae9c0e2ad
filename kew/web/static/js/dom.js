// Elements from values, and updates that keep what is there. Text only ever becomes text nodes: no markup is parsed.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `props`: attributes (true: present, null or false: absent), and
 * `on` (listeners), `set` (properties), `vars` (CSS custom properties), `key` (who it is among its siblings).
 */
export function h(tag, props, ...children) {
  return build(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (name === "on") listen(element, value);
    else if (name === "set") setAll(element, value);
    else if (name === "vars") setVars(element, value);
    else if (name === "key") element.kewKey = String(value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false || child === "") continue;
    if (Array.isArray(child)) append(element, child);
    else if (child instanceof Node) element.append(child);
    else element.append(document.createTextNode(String(child)));
  }
}

function dispatch(event) {
  event.currentTarget.kewOn?.[event.type]?.(event);
}

function listen(element, handlers) {
  element.kewTypes ||= new Set();
  for (const type of Object.keys(handlers)) {
    if (!element.kewTypes.has(type)) element.addEventListener(type, dispatch);
    element.kewTypes.add(type);
  }
  element.kewOn = handlers;
}

function setAll(element, values) {
  element.kewSet = values;
  for (const [name, value] of Object.entries(values))
    if (element[name] !== value) element[name] = value;
}

function setVars(element, values) {
  element.kewVars = values;
  for (const [name, value] of Object.entries(values)) element.style.setProperty(name, value);
}

/** Make `container` show these children; elements that are still there stay, with focus, selection and scroll. */
export function show(container, ...children) {
  const fresh = document.createDocumentFragment();
  append(fresh, children);
  morphChildren(container, fresh);
}

function isSame(old, fresh) {
  return old.nodeName === fresh.nodeName && old.kewKey === fresh.kewKey;
}

function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  morphAttributes(old, fresh);
  if (fresh.kewOn || old.kewOn) listen(old, fresh.kewOn || {});
  if (fresh.kewVars) setVars(old, fresh.kewVars);
  const isCustom = old.nodeName.includes("-");
  if (!isCustom) morphChildren(old, fresh);
  if (fresh.kewSet && !isEdited(old)) setAll(old, fresh.kewSet);
}

// What a person is typing or choosing is theirs.
function isEdited(element) {
  return element === document.activeElement && /^(INPUT|TEXTAREA|SELECT)$/.test(element.nodeName) && element.type !== "checkbox";
}

function morphAttributes(old, fresh) {
  const keepsOpen = old.nodeName === "DETAILS" || old.nodeName === "DIALOG";
  for (const { name } of [...old.attributes]) {
    if (name === "style" || (keepsOpen && name === "open")) continue;
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name === "style" || (keepsOpen && name === "open")) continue;
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.childNodes) if (child.kewKey !== undefined) keyed.set(child.kewKey, child);
  let place = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    let match = null;
    if (next.kewKey !== undefined) {
      match = keyed.get(next.kewKey) || null;
      if (match && !isSame(match, next)) match = null;
      // What stood here and is gone goes first, so that what follows needn't move.
      while (match && place && place !== match && !stillWanted(place, fresh)) place = drop(place);
    } else if (place && isSame(place, next)) match = place;
    if (!match) {
      old.insertBefore(next, place);
      continue;
    }
    if (match === place) place = place.nextSibling;
    else old.insertBefore(match, place);
    morph(match, next);
  }
  while (place) place = drop(place);
}

function stillWanted(node, fresh) {
  if (node.kewKey === undefined) return false;
  for (const child of fresh.childNodes) if (child.kewKey === node.kewKey) return true;
  return false;
}

function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

/** Tell screen readers, politely. */
export function announce(text) {
  const said = document.getElementById("said");
  if (said.textContent !== text) said.textContent = text;
}

/** Show a short message for a while. */
export function toast(text, { tone = "green", seconds = 5 } = {}) {
  announce(text);
  const message = h("div", { class: "toast" }, h("span", { class: `dot ${tone}` }), h("span", {}, text));
  document.getElementById("toasts").append(message);
  setTimeout(() => message.remove(), seconds * 1000);
}
