// An answer on the page: reasoning, text, calls, what went wrong, and what it cost.

import { openCalls } from "./conversation.js";
import { copyButton, el, iconButton } from "./dom.js";
import { MarkdownView } from "./markdown.js";
import { measure } from "./metrics.js";
import { Painter } from "./painter.js";
import { currentLanguage, t } from "./strings.js";
import { turnTools } from "./turn_tools.js";

const MOST_AT_ONCE = 8000; // characters that are drawn in one go: what comes in a flood is drawn over some frames

/** Shows one answer while it comes, and after. */
export class AnswerView {
  #answer;
  #thread;
  #actions;
  #reasoning = document.createTextNode("");
  #reasoningTitle = el("span");
  #details;
  #text = el("div", { class: "markdown" });
  #markdown = new MarkdownView(this.#text);
  #calls = el("div", { class: "calls" });
  #notes = el("div", { class: "notes" });
  #foot = el("footer");
  #shown = 0; // characters of the text
  #isFinal = false;
  #painter;

  /**
   * @param {object} actions what the tools below it do, by name
   * @param {() => void} drawn called when more is shown
   */
  constructor(thread, answer, actions, drawn) {
    this.#answer = answer;
    this.#thread = thread;
    this.#actions = actions;
    const summary = el("summary", {}, this.#reasoningTitle);
    this.#details = el("details", { class: "reasoning", hidden: true }, summary, el("div", {}, this.#reasoning));
    const name = el("h3", { class: "who" }, answer.model);
    const parts = [name, this.#details, this.#text, this.#calls, this.#notes, this.#foot];
    this.element = el("article", { class: "turn answer" }, ...parts);
    this.#painter = new Painter(() => {
      this.#draw();
      drawn();
    });
    this.#painter.flush();
  }

  /** Draw what has come; at the end at once. */
  update(isEnd) {
    if (isEnd) this.#painter.flush();
    else this.#painter.schedule();
  }

  /** Draw what depends on the turns around it. */
  refresh() {
    this.#isFinal = false;
    this.#painter.flush();
  }

  #draw() {
    const { state, text, reasoning } = this.#answer;
    this.#shown = Math.min(this.#shown + MOST_AT_ONCE, text.length);
    const isBehind = this.#shown < text.length;
    if (isBehind) this.#painter.schedule();
    const isRunning = state === "running" || isBehind;
    this.element.setAttribute("aria-busy", String(isRunning));
    this.element.classList.toggle("running", isRunning);
    if (reasoning.length > this.#reasoning.length) this.#reasoning.appendData(reasoning.slice(this.#reasoning.length));
    this.#details.hidden = !reasoning;
    this.#reasoningTitle.textContent = t(isRunning && !text ? "reasoning.running" : "reasoning.done");
    this.#markdown.render(text.slice(0, this.#shown));
    if (isRunning) this.#drawRunning();
    else if (!this.#isFinal) this.#drawFinal();
  }

  #drawRunning() {
    const { calls, text, reasoning, isWaiting } = this.#answer;
    this.#calls.replaceChildren(...calls.map(callNode));
    const hasBegun = text || reasoning || calls.length;
    const waiting = el("p", { class: "waiting", t: isWaiting ? "answer.loading" : "answer.waiting" });
    this.#notes.replaceChildren(...(hasBegun ? [] : [waiting]));
    if (!this.#foot.firstChild) {
      const click = () => this.#actions.stop(this.#answer);
      this.#foot.append(el("button", { type: "button", class: "button quiet", t: "action.stopAnswer", on: { click } }));
    }
  }

  #drawFinal() {
    this.#isFinal = true;
    const answer = this.#answer;
    this.#calls.replaceChildren(...answer.calls.map(callNode));
    const calls = openCalls(this.#thread, answer);
    if (calls.length) {
      this.#calls.append(resultsForm(calls, (results) => this.#actions.sendResults(this.#thread, answer, results)));
    }
    this.#notes.replaceChildren(...notesOf(answer), ...(answer.error ? [this.#errorNode(answer.error)] : []));
    const act = (name) => () => this.#actions[name](this.#thread, answer);
    const tools = [
      copyButton("action.copyAnswer", () => answer.text),
      iconButton("again", "action.regenerate", act("regenerate")),
      iconButton("frames", "action.frames", act("frames")),
      iconButton("code", "action.copyAs", act("copyAs")),
    ];
    this.#foot.replaceChildren(turnTools(this.#thread, answer, this.#actions, tools), metricsNode(answer));
  }

  #errorNode({ message, status, code, type, requestId }) {
    const about = [status, code || type].filter(Boolean).join(" · ");
    const retry = () => this.#actions.regenerate(this.#thread, this.#answer);
    const node = el("div", { class: "error", role: "alert" }, el("strong", { t: "error.title" }));
    if (["unreachable", "stream_cut", "not_json"].includes(code)) node.append(el("p", { t: `error.${code}` }));
    if (message) node.append(el("p", {}, message));
    const small = el("p", { class: "hint" }, about);
    if (requestId) small.append(about ? " · " : "", el("span", { t: "error.requestId", values: { id: requestId } }));
    node.append(small, el("button", { type: "button", class: "button quiet", t: "action.retry", on: { click: retry } }));
    return node;
  }
}

/** A call of a tool, as the model wrote it. */
function callNode(call) {
  const code = el("pre", { tabindex: "0", role: "group", label: "call.arguments" }, el("code", {}, indented(call.arguments)));
  return el("div", { class: "call" }, el("h4", { t: "call.heading", values: { name: call.name } }), code);
}

function indented(written) {
  try {
    return JSON.stringify(JSON.parse(written), null, 2);
  } catch {
    return written; // still coming, or wrong
  }
}

/** Where somebody says what the tools gave. */
function resultsForm(calls, send) {
  const fields = calls.map((call, number) => {
    const id = `result-${call.id}-${number}`;
    const label = el("label", { for: id, t: "call.result", values: { name: call.name } });
    const field = el("textarea", { id, rows: 2, "data-placeholder": "call.resultPlaceholder" });
    return { call, field, label };
  });
  const submit = (event) => {
    event.preventDefault();
    send(fields.map(({ call, field }) => ({ id: call.id, name: call.name, text: field.value })));
  };
  const button = el("button", { type: "submit", class: "button", t: "call.send" });
  const rows = fields.flatMap(({ label, field }) => [label, field]);
  return el("form", { class: "results", on: { submit } }, ...rows, button);
}

/** What is to be known of how an answer ended. */
function notesOf({ state, finish, text, refusal, calls, ignored }) {
  const said = refusal ? [el("p", { class: "refusal" }, refusal)] : [];
  const note = (key, values = {}) => said.push(el("p", { class: "hint", t: key, values }));
  if (state === "stopped") note("answer.stopped");
  if (finish === "length") note("answer.cut");
  if (finish === "content_filter") note("answer.filtered");
  if (state === "done" && !text && !refusal && !calls.length) note("answer.empty");
  if (ignored) note("answer.ignored", { names: ignored });
  return said;
}

function metricsNode(answer) {
  const { firstMs, totalMs, sent, written, perSecond } = measure(answer);
  const node = el("p", { class: "metrics" });
  const tell = (key, values) => node.append(el("span", { t: `metric.${key}`, values }));
  if (firstMs !== null) tell("first", { ms: duration(firstMs) });
  if (totalMs !== null) tell("total", { ms: duration(totalMs) });
  if (written === null) tell("unknown", {});
  else {
    tell("read", { count: number(sent) });
    tell("written", { count: number(written) });
  }
  if (perSecond !== null) tell("speed", { count: number(perSecond, perSecond < 10 ? 1 : 0) });
  return node;
}

function duration(ms) {
  return ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000, 1)} s`;
}

function number(value, digits = 0) {
  return value.toLocaleString(currentLanguage(), { maximumFractionDigits: digits });
}
