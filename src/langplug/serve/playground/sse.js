// Server-sent events out of text that comes in any pieces. No I/O.
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

/** Reads a stream's text piece by piece. Of an event only its data matters on this wire. */
export class EventReader {
  #line = "";
  #data = [];
  #sawReturn = false; // a "\n" that comes next belongs to it

  /**
   * Take the next piece.
   * @param {string} text
   * @returns {string[]} the data of the events that end in it
   */
  feed(text) {
    const events = [];
    let start = this.#sawReturn && text.startsWith("\n") ? 1 : 0;
    if (text) this.#sawReturn = text.endsWith("\r");
    const ends = /\r\n|\r|\n/g;
    ends.lastIndex = start;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      this.#take(this.#line + text.slice(start, end.index), events);
      this.#line = "";
      start = ends.lastIndex;
    }
    this.#line += text.slice(start);
    return events;
  }

  #take(line, events) {
    if (line === "") {
      if (this.#data.length) events.push(this.#data.join("\n"));
      this.#data = [];
    } else if (line === "data" || line.startsWith("data:")) {
      this.#data.push(line.slice(5).replace(/^ /, ""));
    }
  }
}
