// The admin API. Every error is a `Problem` with a sentence for people.

import { learnClock } from "./format.js";

export class Problem extends Error {
  constructor(status, title, detail, body = {}) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.body = body;
  }
}

/** Begin a session: the server keeps the token in a cookie that scripts can't read. */
export const logIn = (token) => request("POST", ["session"], { body: { token } });

/** End it. */
export const logOut = () => request("DELETE", ["session"]);

/** A path below the API, with its parts encoded and its empty options left out. */
export function path(parts, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options))
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return `api/${parts.map((part) => encodeURIComponent(part)).join("/")}${text ? `?${text}` : ""}`;
}

const AGAIN_AFTER_MS = [100, 400]; // a network that changes fails every request on its way; reading again is harmless

async function request(method, parts, { options, body, signal } = {}) {
  let response;
  let text;
  for (let attempt = 0; ; attempt += 1) {
    try {
      response = await fetch(path(parts, options), {
        method,
        signal,
        headers: body === undefined ? {} : { "Content-Type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "same-origin",
        cache: "no-store",
      });
      text = await response.text();
      break;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (method !== "GET" || attempt === AGAIN_AFTER_MS.length)
        throw new Problem(0, "Unreachable", "The admin server does not answer. Is it still running?");
      await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS[attempt]));
    }
  }
  const sentAt = Date.parse(response.headers.get("Date") || "");
  if (sentAt) learnClock(sentAt, 5000); // in whole seconds, and some servers renew it seldom
  const found = parsed(text);
  if (response.ok) return found;
  throw problem(response.status, found, parts[0] === "session");
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

function problem(status, found, isLogin) {
  const body = found && typeof found === "object" ? found : {};
  const title = typeof body.title === "string" ? body.title : `Error ${status}`;
  const detail = typeof body.detail === "string" ? body.detail : "";
  if (status === 401 && !isLogin) window.dispatchEvent(new Event("kew-unauthorized"));
  return new Problem(status, title, detail, body);
}

export const get = (parts, options, signal) => request("GET", parts, { options, signal });
export const post = (parts, body = {}) => request("POST", parts, { body });
export const put = (parts, body) => request("PUT", parts, { body });
export const remove = (parts) => request("DELETE", parts, {});
