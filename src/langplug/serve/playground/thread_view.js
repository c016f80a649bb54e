// A thread on the page: which model it asks, and its turns.

import { AnswerView } from "./answer_view.js";
import { API } from "./api.js";
import { shownTurns } from "./conversation.js";
import { el, iconButton, place, word } from "./dom.js";
import { t } from "./strings.js";
import { questionNode, resultsNode } from "./turn_view.js";

const NEAR_END = 48; // pixels: whoever is as near follows what comes

/** Shows a thread, and follows it while its end is in sight. */
export class ThreadView {
  #thread;
  #actions;
  #turns = el("div", { class: "turns" });
  #toEnd;
  #views = new Map(); // by the turn's id
  #isFollowing = true;

  /**
   * @param {string[]} models what can be asked
   * @param {object} actions what is done with turns, by name
   * @param {Node[]} tools more for the thread's head
   */
  constructor(thread, models, actions, tools) {
    this.#thread = thread;
    this.#actions = actions;
    this.#toEnd = iconButton("down", "action.toEnd", () => this.follow(), { class: "round to-end", hidden: true });
    const head = el("div", { class: "pane-head" }, this.#modelSelect(models), ...tools);
    this.element = el("section", { class: "pane" }, head, this.#turns, this.#toEnd);
    this.element.dataset.label = "conversation.label";
    this.#turns.addEventListener("scroll", () => this.#watch(), { passive: true });
    this.render();
  }

  /** Show the turns that are to be shown; those that are there already stay as they are. */
  render() {
    this.element.dataset.values = JSON.stringify({ model: this.#thread.model });
    word(this.element);
    const turns = shownTurns(this.#thread);
    const views = new Map(turns.map((turn) => [turn.id, this.#viewOf(turn)]));
    this.#views = views;
    const shown = turns.map((turn) => views.get(turn.id).element);
    place(this.#turns, shown.length ? shown : [this.#welcome()]);
    this.#stay();
  }

  /** Draw what has come of an answer; `isEnd` if nothing more will. */
  update(answer, isEnd) {
    this.#views.get(answer.id)?.answer.update(isEnd);
  }

  /** Whether an answer is in sight. */
  shows(answer) {
    return this.#views.has(answer.id);
  }

  /** Put the keyboard on the way to the other versions of a turn. */
  focusOn(turnId, direction) {
    this.#views.get(turnId).element.querySelector(`[data-go=${direction}]`).focus();
  }

  get thread() {
    return this.#thread;
  }

  /** Show the end, and what comes there. */
  follow() {
    this.#isFollowing = true;
    this.#stay();
  }

  #viewOf(turn) {
    const { id, role } = turn;
    const known = this.#views.get(id);
    // what is below a turn, and beside it, decides what can be done with it
    const { children } = this.#thread.nodes[turn.parent];
    const mark = `${children.length} ${turn.shown !== null}`;
    if (known?.mark === mark) return known;
    if (role === "assistant") {
      const answer = known?.answer ?? new AnswerView(this.#thread, turn, this.#actions, () => this.#stay());
      if (known) answer.refresh();
      return { mark, element: answer.element, answer };
    }
    const make = role === "user" ? questionNode : resultsNode;
    return { mark, element: make(this.#thread, turn, this.#actions) };
  }

  #welcome() {
    const title = el("h2", { t: "empty.title", values: { model: this.#thread.model || "…" } });
    const address = el("code", {}, API);
    return el("div", { class: "welcome" }, title, el("p", { t: "empty.text" }), el("p", { class: "hint" }, address));
  }

  #modelSelect(models) {
    const { model } = this.#thread;
    const known = models.includes(model) || !model ? models : [...models, model];
    const change = () => this.#actions.chooseModel(this.#thread, select.value);
    const options = known.map((id) => el("option", { value: id, selected: id === model }, id));
    const select = el("select", { class: "model", label: "model.label", disabled: !known.length, on: { change } }, ...options);
    return select;
  }

  #watch() {
    const { scrollHeight, scrollTop, clientHeight } = this.#turns;
    this.#isFollowing = scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.#toEnd.hidden = this.#isFollowing;
  }

  #stay() {
    if (this.#isFollowing) this.#turns.scrollTop = this.#turns.scrollHeight;
    this.#toEnd.hidden = this.#isFollowing;
  }
}

/** What is told of an answer at its end. */
export function announcementOf({ model, text }) {
  const said = text.slice(0, 500);
  return said ? t("answer.announced", { model, text: said }) : t("answer.announcedEmpty", { model });
}
