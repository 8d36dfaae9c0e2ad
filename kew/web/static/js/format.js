// Numbers, durations and times as people read them.

import { h } from "./dom.js";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

let skewMs = 0; // the server's clock minus this browser's

/** Learn the server's clock, from an instant that it has just sent, which is right within `within` ms. */
export function learnClock(ms, within = 1500) {
  const skew = ms - Date.now();
  if (Math.abs(skew - skewMs) > within) skewMs = Math.abs(skew) > within ? skew : 0;
}

/** The server's time, in ms. */
export function now() {
  return Date.now() + skewMs;
}

/** An instant in ms from ISO 8601 text or a number of ms (or of seconds); null if there is none. */
export function instant(value) {
  if (value === null || value === undefined || value === "" || value === 0) return null;
  if (typeof value === "number") return value < 1e11 ? value * 1000 : value;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? null : ms;
}

export function num(value) {
  return value === null || value === undefined ? "–" : whole.format(value);
}

/** A number for narrow places: 1,204, 18.4 k, 1.2 M. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10_000) return whole.format(value);
  if (value < 1e6) return `${tenth.format(value / 1e3)} k`;
  return `${tenth.format(value / 1e6)} M`;
}

/** A rate per minute: whole from 10 on. */
export function perMinute(value) {
  if (value === null || value === undefined) return "–";
  return value > 0 && value < 10 ? tenth.format(value) : whole.format(value);
}

/** "812 B", "8.0 KiB", "1.9 MiB". */
export function bytes(size) {
  let value = size;
  let unit = "B";
  for (const larger of ["KiB", "MiB", "GiB"]) {
    if (value < 1024) break;
    value /= 1024;
    unit = larger;
  }
  return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`;
}

/** A duration in seconds: 64 ms, 4.2 s, 38 s, 4 m 12 s, 3 h 31 m, 2 d 4 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds <= 0) return "0 s";
  if (seconds < 0.001) return "< 1 ms";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${tenth.format(seconds)} s`;
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  if (total < 3600) return parts(total, 60, "m", 1, "s");
  if (total < 86_400) return parts(total, 3600, "h", 60, "m");
  return parts(total, 86_400, "d", 3600, "h");
}

function parts(total, unit, name, smaller, smallerName) {
  const rest = Math.floor((total % unit) / smaller);
  return `${Math.floor(total / unit)} ${name}${rest ? ` ${rest} ${smallerName}` : ""}`;
}

/** A countdown: 0:41, 12:05, 3:07:00; "now" once it has passed. */
export function countdown(ms) {
  const left = Math.ceil((ms - now()) / 1000);
  if (left <= 0) return "now";
  const hours = Math.floor(left / 3600);
  const minutes = Math.floor((left % 3600) / 60);
  if (left > 172_800) return duration(left);
  return hours ? `${hours}:${two(minutes)}:${two(left % 60)}` : `${minutes}:${two(left % 60)}`;
}

/** How long ago (or ahead): "just now", "12 s ago", "in 5 h 13 m". */
export function relative(ms) {
  const seconds = (now() - ms) / 1000;
  if (Math.abs(seconds) < 2) return "just now";
  const text = duration(Math.round(Math.abs(seconds)));
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

export function absolute(ms) {
  return new Date(ms).toLocaleString(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZoneName: "short",
  });
}

/** Hours to milliseconds, with the day in front if that isn't today. */
export function clock(ms, { fraction = true } = {}) {
  const at = new Date(ms);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return fraction ? `${time}.${two(at.getMilliseconds(), 3)}` : time;
}

const two = (value, width = 2) => String(value).padStart(width, "0");
const dayName = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });
const dayNameUtc = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

/** The day and time here, as people say it: "today at 21:30", "tomorrow at 02:00", "Fri, 4 Dec at 09:00". */
export function dayTime(ms) {
  const at = new Date(ms);
  const today = new Date(now());
  const time = `${two(at.getHours())}:${two(at.getMinutes())}${at.getSeconds() ? `:${two(at.getSeconds())}` : ""}`;
  const noon = (date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate(), 12);
  const days = Math.round((noon(at) - noon(today)) / 86_400_000);
  const near = { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days];
  const year = at.getFullYear() === today.getFullYear() ? "" : ` ${at.getFullYear()}`;
  return `${near || dayName.format(at) + year} at ${time}`;
}

/** The time here, as a field of the kind datetime-local takes it. */
export const inputTime = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

/** The same instant in UTC: "20:30 UTC", with the day in front if it is another one there. */
export function utcTime(ms) {
  const at = new Date(ms);
  const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}${at.getUTCSeconds() ? `:${two(at.getUTCSeconds())}` : ""}`;
  return at.getUTCDate() === at.getDate() ? `${time} UTC` : `${dayNameUtc.format(at)}, ${time} UTC`;
}

/** This browser's time zone. */
export const zoneHere = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";

/** Whether that is UTC itself. */
export const isUtcHere = () => ["UTC", "Etc/UTC", "Etc/GMT"].includes(zoneHere());

/** A relative time that follows the clock, with the absolute one on hover. */
export function ago(value, { empty = "–" } = {}) {
  const ms = instant(value);
  if (ms === null) return h("span", { class: "soft" }, empty);
  return h("time", { datetime: new Date(ms).toISOString(), title: absolute(ms), "data-ago": ms, class: "nowrap" }, relative(ms));
}

/** A countdown that follows the clock. */
export function until(ms, props = {}) {
  return h("time", { ...props, datetime: new Date(ms).toISOString(), title: absolute(ms), "data-until": ms }, countdown(ms));
}

/** Bring all relative times and countdowns up to date. */
export function tick() {
  for (const element of document.querySelectorAll("[data-ago]")) renew(element, relative(Number(element.dataset.ago)));
  for (const element of document.querySelectorAll("[data-until]")) renew(element, countdown(Number(element.dataset.until)));
}

function renew(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** "1 task", "2 tasks". */
export function count(number, one, many = `${one}s`) {
  return `${num(number)} ${number === 1 ? one : many}`;
}

/** Sum of a list's numbers; null if it has none. */
export function sum(values) {
  let total = null;
  for (const value of values) if (typeof value === "number") total = (total ?? 0) + value;
  return total;
}
