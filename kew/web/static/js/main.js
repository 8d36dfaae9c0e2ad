// The page: the header, the routes, and what is live. Each view is a module in views/, listed in VIEWS.

import { Problem, get, logOut } from "./api.js";
import "./charts.js";
import { announce, h, s, show, toast } from "./dom.js";
import { instant, learnClock, relative, tick } from "./format.js";
import { onKey } from "./keys.js";
import { Live } from "./live.js";
import { attentionOf, codeWords, queueOf } from "./model.js";
import { failure, href, loading } from "./parts.js";
import { search } from "./search.js";
import * as dead from "./views/dead.js";
import * as login from "./views/login.js";
import * as overview from "./views/overview.js";
import * as processes from "./views/processes.js";
import * as queue from "./views/queue.js";
import * as schedule from "./views/schedule.js";
import * as schedules from "./views/schedules.js";
import * as task from "./views/task.js";
import * as tasks from "./views/tasks.js";

const VIEWS = { "": overview, queue, tasks, task, dead, schedules, schedule, processes };
const STALE_MS = 14_000; // the server says something at least every ten seconds

const main = document.getElementById("main");
const top = document.getElementById("top");
const notices = document.getElementById("notices");

/** What every view may read. `redraw` draws again from what is known; `reload` asks the server again. */
export const app = {
  info: null,
  queues: null,
  attention: [],
  processCount: null,
  setOptions,
  redraw: () => drawView(),
  reload: () => refresh(),
  get canChange() {
    return Boolean(this.info) && !this.info.read_only;
  },
  get deadLetters() {
    return (this.queues || []).reduce((total, { deadLetters }) => total + (deadLetters || 0), 0);
  },
};

let view = null; // {module, params, data, problem, abort}
let loggedOut = false;

const live = new Live(onEvent, () => {
  drawHeader();
  if (live.state === "lost") announce("The connection to the server is lost. Trying again.");
});

// --- routes

function route() {
  const [hash, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = hash.split("/").map(decode);
  const module = VIEWS[parts[0]] || null;
  return { module, parts: parts.slice(1), name: parts[0], options: Object.fromEntries(new URLSearchParams(query)) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function follow() {
  const next = route();
  const isSame = view && view.name === next.name && view.parts.join("/") === next.parts.join("/");
  view?.abort?.abort();
  view = { ...next, data: isSame ? view.data : null, problem: null, memory: isSame ? view.memory : {} };
  if (!isSame) {
    main.replaceChildren();
    window.scrollTo(0, 0);
  }
  drawHeader();
  drawView();
  if (!isSame) {
    focusPage();
    top.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  load();
}

function focusPage() {
  if (document.activeElement && document.activeElement !== document.body && top.contains(document.activeElement)) return;
  main.focus({ preventScroll: true });
}

/** Change the options in the address without a new entry in the history, and load. */
function setOptions(options) {
  const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const text = query.toString();
  history.replaceState(null, "", `#/${[view.name, ...view.parts].map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`);
  follow();
}

// --- data

async function load() {
  if (loggedOut || !view) return;
  const mine = view;
  if (!mine.module?.load) return drawView();
  mine.abort?.abort();
  mine.abort = new AbortController();
  try {
    const data = await mine.module.load({ ...mine, app, signal: mine.abort.signal });
    if (view !== mine) return;
    mine.data = data;
    mine.problem = null;
    drawHeader();
  } catch (error) {
    if (view !== mine || error.name === "AbortError") return;
    mine.problem = error;
    if (!(error instanceof Problem)) console.error(error);
  }
  drawView();
}

let again = null;

/** Load soon, but at most once in two seconds, however many events come. */
function loadSoon() {
  again ||= setTimeout(() => {
    again = null;
    load();
  }, 2000 - Math.min(1800, Date.now() - (loadSoon.at || 0)));
  loadSoon.at = Date.now();
}

function onEvent(name, value) {
  if (name !== "queues") return;
  takeQueues(value);
  drawHeader();
  if (view?.module?.follows === "queues") drawView();
  else loadSoon();
}

function takeQueues(value) {
  const sentAt = instant(value.now ?? value.queues?.[0]?.now);
  if (sentAt) learnClock(sentAt);
  app.queues = (value.queues || []).map(queueOf);
  const before = new Set(app.attention.map((each) => `${each.queue} ${each.code}`));
  const isFirst = !takeQueues.wasCalled;
  takeQueues.wasCalled = true;
  app.attention = (value.attention || []).map(attentionOf);
  const news = app.attention.filter((each) => !before.has(`${each.queue} ${each.code}`));
  if (news.length && !isFirst) announce(news.map((each) => `${each.queue}: ${codeWords(each.code)}`).join(", "));
}

async function refreshQueues() {
  takeQueues(await get(["queues"]));
}

/** Reloads everything, after a change and while no events arrive. */
async function refresh() {
  await refreshQueues().catch(() => {});
  drawHeader();
  await load();
}

// --- drawing

const NAV = [
  ["", "Overview"],
  ["tasks", "Tasks"],
  ["dead", "Dead letters"],
  ["schedules", "Schedules"],
  ["processes", "Processes"],
];
const PARENT = { queue: "", task: "tasks", schedule: "schedules" };

function leaf() {
  return s(
    "svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    s("path", { class: "leaf-2", d: "M10 21C5.200 20.600 2.300 16.800 2 10.500c5.200 1 8 4.600 8 10.500Z" }),
    s("path", { class: "leaf-3", d: "M13.500 21c5-1.200 7.700-5.600 8.500-12.500-4.500 1-7.500 4-8.500 12.500Z" }),
    s("path", { class: "leaf-1", d: "M11.400 21C6 18.500 4.500 11.500 12.200 3c4.600 7.600 4.300 14.700-.8 18Z" }),
  );
}

function drawHeader() {
  const current = PARENT[view?.name] ?? view?.name;
  const { info } = app;
  show(
    top,
    h("a", { class: "brand", href: "#/", "aria-label": "kew: overview" }, leaf(), "kew"),
    info?.namespace ? h("span", { class: "pill", title: `Namespace ${info.namespace}` }, info.namespace) : null,
    info?.read_only ? h("span", { class: "pill tone blue", title: "This page shows, and changes nothing" }, "read-only") : null,
    loggedOut ? null : h("nav", { "aria-label": "Pages", key: "nav" }, NAV.map(([name, text]) => navLink(name, text, current))),
    loggedOut
      ? h("div", { class: "end", key: "end" }, themeButton())
      : h("div", { class: "end", key: "end" }, search(app), storeLine(), liveLine(), h("button", { type: "button", class: "icon-button help-button", title: "Keyboard (?)", "aria-label": "Keyboard shortcuts", on: { click: () => onKey.help() } }, "?"), themeButton(), sessionButton()),
  );
  drawNotice();
}

function navLink(name, text, current) {
  const badge = name === "dead" && app.deadLetters ? h("span", { class: "badge red" }, String(app.deadLetters)) : name === "processes" && app.processCount !== null ? h("span", { class: "badge" }, String(app.processCount)) : null;
  return h("a", { href: href(name), "aria-current": name === current ? "page" : null, key: name }, text, badge);
}

function storeLine() {
  if (!app.info) return null;
  return h("span", { class: "state-line store-line green", title: `${app.info.store} · kew ${app.info.version}` }, h("span", { class: "dot", "aria-hidden": "true" }), String(app.info.store).split(":")[0].replace("rediss", "Redis").replace("redis", "Redis").replace("unix", "Redis"));
}

function liveLine() {
  const silent = Date.now() - live.heardAt;
  const isStale = live.state !== "live" || silent > STALE_MS;
  const words = { live: "live", connecting: "connecting", paused: "paused", lost: "reconnecting" }[live.state];
  const text = isStale && live.heardAt ? `last heard ${relative(live.heardAt)}` : words;
  return h("span", { class: `state-line live-line ${isStale ? "stale amber" : "green"}`, title: live.state === "live" ? "Changes appear by themselves" : "Trying to connect again" }, h("span", { class: `dot ${isStale ? "" : "beat"}`, "aria-hidden": "true" }), text);
}

function themeButton() {
  return h(
    "button", { type: "button", class: "icon-button", title: "Light or dark", "aria-label": "Switch between light and dark", on: { click: () => window.kewTheme.toggle() } },
    s("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, s("circle", { cx: 8, cy: 8, r: 6.25, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }), s("path", { d: "M8 1.750a6.250 6.250 0 0 1 0 12.500Z", fill: "currentColor" })),
  );
}

function sessionButton() {
  if (!app.info?.session) return null;
  return h("button", { type: "button", class: "button quiet", on: { click: () => logOut().then(() => location.reload()) } }, "Log out");
}

function drawNotice() {
  const lost = live.heardAt && live.state === "lost" && Date.now() - live.heardAt > STALE_MS;
  show(notices, lost ? h("p", { class: "notice amber", role: "status" }, h("span", { class: "dot" }), `The server hasn't answered since ${relative(live.heardAt)}. What you see may be out of date.`) : null);
}

function drawView() {
  if (loggedOut || !view) return;
  const { module } = view;
  if (!module) {
    show(main, failure({ title: "No such page", message: `There is nothing at ${location.hash}.` }));
    return;
  }
  document.title = `${module.title(view)} · kew`;
  if (view.problem && !view.data) show(main, h("div", { class: "stack" }, module.head ? module.head(view) : null, failure(view.problem, () => load())));
  else if (!view.data && module.load) show(main, module.head ? module.head(view) : null, loading());
  else {
    const drawn = module.draw({ ...view, app });
    show(main, view.problem ? failure(view.problem, () => load()) : null, drawn);
  }
}

// --- start

async function start() {
  loggedOut = false;
  drawHeader();
  show(main, loading());
  try {
    const [info] = await Promise.all([get(["info"]), refreshQueues()]);
    app.info = info;
  } catch (error) {
    if (error.status === 401) return;
    show(main, failure(error, start));
    return;
  }
  live.start();
  get(["processes"]).then((found) => {
    app.processCount = (found.processes || found).length;
    drawHeader();
  }).catch(() => {});
  follow();
}

window.addEventListener("kew-unauthorized", () => {
  if (loggedOut) return;
  loggedOut = true;
  live.stop();
  view?.abort?.abort();
  drawHeader();
  document.title = "Log in · kew";
  login.draw(main, start);
});
window.addEventListener("kew-search", () => drawHeader());
window.addEventListener("hashchange", () => !loggedOut && app.info && follow());
document.getElementById("skip").addEventListener("click", () => main.focus());
setInterval(() => {
  if (document.hidden) return;
  tick();
  live.check();
  if (!loggedOut) drawHeader();
}, 1000);
setInterval(() => {
  if (document.hidden || loggedOut || !app.info) return;
  if (live.state !== "live") refresh();
  else if (view?.module?.every) load();
}, 5000);
window.addEventListener("error", () => toast("Something on this page failed. Reload it.", { tone: "red" }));
start();
