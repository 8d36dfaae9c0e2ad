// Server-sent events, paused while the page is hidden. Over fetch: an EventSource says neither why it was refused nor
// when it last heard a comment.

const SILENCE_MS = 25_000; // after which the connection counts as broken

export class Live {
  /** `onEvent(name, value)` for each event, `onChange(state)` for "live", "connecting", "paused" and "lost". */
  constructor(onEvent, onChange) {
    this.onEvent = onEvent;
    this.onChange = onChange;
    this.state = "connecting";
    this.heardAt = 0;
    this.attempt = 0;
    this.wanted = false;
    document.addEventListener("visibilitychange", () => this.follow());
  }

  start() {
    this.wanted = true;
    this.follow();
  }

  stop() {
    this.wanted = false;
    this.follow();
  }

  /** Called about every second: a connection that has gone silent is opened again. */
  check() {
    if (this.state === "live" && Date.now() - this.heardAt > SILENCE_MS) this.abort?.abort();
  }

  follow() {
    const runs = this.wanted && !document.hidden;
    if (runs && !this.abort) this.connect();
    if (!runs) {
      clearTimeout(this.timer);
      this.abort?.abort();
      this.abort = null;
      if (this.wanted) this.become("paused");
    }
  }

  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.onChange(state);
  }

  async connect() {
    const abort = (this.abort = new AbortController());
    let ended = false; // the server ends each stream after a while
    if (this.state === "paused") this.become("connecting");
    try {
      const response = await fetch("api/events", {
        headers: { Accept: "text/event-stream" },
        signal: abort.signal,
        credentials: "same-origin",
        cache: "no-store",
      });
      if (response.status === 401) return this.refused(abort);
      if (!response.ok || !response.body) throw new Error(`events: ${response.status}`);
      this.attempt = 0;
      this.openedAt = Date.now();
      this.heard();
      await this.read(response.body.getReader());
      ended = true;
    } catch {
      // the stream ended: connect again below
    }
    if (this.abort !== abort) return; // paused meanwhile
    if (ended && Date.now() - this.openedAt > 5000) {
      this.abort = null;
      return this.follow();
    }
    this.become("lost");
    this.attempt += 1;
    this.timer = setTimeout(() => {
      if (this.abort === abort) {
        this.abort = null;
        this.follow();
      }
    }, Math.min(10_000, 500 * 2 ** Math.min(this.attempt, 5)));
  }

  refused(abort) {
    if (this.abort === abort) this.abort = null;
    this.wanted = false;
    window.dispatchEvent(new Event("kew-unauthorized"));
  }

  heard() {
    this.heardAt = Date.now();
    this.become("live");
  }

  async read(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.heard();
      rest += decoder.decode(value, { stream: true }).replaceAll("\r\n", "\n");
      const events = rest.split("\n\n");
      rest = events.pop();
      for (const event of events) this.parse(event);
    }
  }

  parse(text) {
    let name = "message";
    const lines = [];
    for (const line of text.split("\n")) {
      if (line.startsWith("event:")) name = line.slice(6).trim();
      if (line.startsWith("data:")) lines.push(line.slice(5).trimStart());
    }
    if (!lines.length) return;
    try {
      this.onEvent(name, JSON.parse(lines.join("\n")));
    } catch (error) {
      console.error("kew: an event could not be shown", error);
    }
  }
}
