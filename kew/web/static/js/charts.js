// <kew-chart>: uPlot, with the theme's colours, a legend in words, and a table for screen readers by its caller.

import { h } from "./dom.js";
import { duration, short } from "./format.js";

const WHOLE = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].flatMap((power) => [power, 2 * power, 5 * power]); // steps between marks of a count
const HEIGHT = 168;

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

class Chart extends HTMLElement {
  connectedCallback() {
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this);
    this.onTheme = () => this.rebuild();
    window.addEventListener("kew-theme", this.onTheme);
    this.rebuild();
  }

  disconnectedCallback() {
    this.observer?.disconnect();
    window.removeEventListener("kew-theme", this.onTheme);
    this.plot?.destroy();
    this.plot = null;
  }

  /** {id, at: [ms], step, series: [{label, values, color, fill}], unit: "count" | "seconds", stacked} */
  set data(value) {
    const isOther = this.value?.id !== value.id;
    this.value = value;
    if (!this.isConnected) return;
    if (!this.plot || isOther) this.rebuild();
    else this.plot.setData(this.columns());
  }

  columns() {
    const { at, series, stacked } = this.value;
    const columns = series.map(({ values }) => [...values]);
    if (stacked)
      for (let row = columns.length - 2; row >= 0; row -= 1)
        columns[row] = columns[row].map((value, place) => (value ?? 0) + (columns[row + 1][place] ?? 0));
    return [at.map((ms) => ms / 1000), ...columns];
  }

  fit() {
    const width = Math.floor(this.clientWidth);
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.value || !this.value.at.length) return;
    this.plot = new window.uPlot(this.options(), this.columns(), this);
  }

  options() {
    const { series, unit } = this.value;
    const axis = {
      stroke: color("--faint-text"), font: `11px ${color("--sans")}`,
      grid: { stroke: color("--line"), width: 1 }, ticks: { show: false },
    };
    const text = unit === "seconds" ? duration : short;
    return {
      width: Math.max(this.clientWidth, 50),
      height: HEIGHT,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.12 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 28, values: times },
        { ...axis, ...(unit === "count" ? { incrs: WHOLE } : {}), size: unit === "seconds" ? 58 : 46, space: 38, values: (_plot, marks) => marks.map((mark) => (mark === 0 ? "" : text(mark))) },
      ],
      series: [{}, ...series.map((each) => this.seriesOf(each))],
      hooks: { setCursor: [(plot) => this.point(plot)] },
    };
  }

  seriesOf({ label, values, color: name, fill, dash }) {
    const isSparse = !fill && values.filter((value) => value !== null).length < 4; // a line needs neighbors
    return { label, stroke: color(name), width: fill ? 1 : 1.75, fill: fill ? color(name) : undefined, dash, points: { show: isSparse, size: 5, fill: color(name) }, spanGaps: true };
  }

  /** Say what stands under the pointer. */
  point(plot) {
    const { at, series, unit } = this.value;
    const text = unit === "seconds" ? duration : short;
    const place = plot.cursor.idx;
    this.tip ||= this.appendChild(h("div", { class: "chart-tip", "aria-hidden": "true" }));
    this.tip.hidden = place === null || place === undefined || plot.cursor.left < 0;
    if (this.tip.hidden) return;
    this.tip.replaceChildren(
      h("b", {}, new Date(at[place]).toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false })),
      ...series.map((each) => h("span", { class: "tip-row" }, h("span", { class: "swatch", vars: { "--swatch": `var(${each.color})` } }), each.label, h("span", { class: "num" }, text(each.values[place])))),
    );
    const room = this.clientWidth - this.tip.offsetWidth - 8;
    const left = plot.cursor.left + plot.bbox.left / devicePixelRatio + 14;
    this.tip.style.setProperty("left", `${Math.max(0, left > room ? left - this.tip.offsetWidth - 28 : left)}px`);
  }
}

function times(_plot, marks) {
  const span = marks.length > 1 ? marks.at(-1) - marks[0] : 0;
  const options = span > 4 * 86_400 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit", hour12: false };
  return marks.map((mark) => new Date(mark * 1000).toLocaleString("en-GB", options));
}

customElements.define("kew-chart", Chart);

/** A chart in a figure: the title, the legend, the chart, and one sentence that says what it shows. */
export function chart(title, data, { summary = "", aside = null } = {}) {
  return h(
    "figure", { class: "card chart", key: title },
    h(
      "div", { class: "card-head" },
      h("h2", {}, title),
      h("ul", { class: "legend" }, data.series.map((each) => h("li", {}, h("span", { class: "swatch", vars: { "--swatch": `var(${each.color})` } }), each.label))),
      aside,
    ),
    data.at.length
      ? h("kew-chart", { role: "img", "aria-label": `${title}: ${summary}`, set: { data } })
      : h("p", { class: "chart-empty soft" }, "Nothing has been counted in this time."),
  );
}
