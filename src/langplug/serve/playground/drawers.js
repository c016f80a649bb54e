// The panels at the sides: columns where there is room, and drawers over the page where there is none.

import { recall, remember } from "./preferences.js";

const ROOMY = matchMedia("(min-width: 1000px)");

/** A panel and the button that shows it. */
export class Drawer {
  #panel;
  #button;
  #others;

  /** @param {boolean} isOpenAtFirst whether it is open in a roomy window of somebody who has not chosen yet */
  constructor(panelId, buttonId, isOpenAtFirst) {
    this.#panel = document.getElementById(panelId);
    this.#button = document.getElementById(buttonId);
    this.#others = [...document.body.children].filter((other) => other !== this.#panel && other.id !== "status");
    this.#button.addEventListener("click", () => this.#choose(this.#panel.hidden));
    this.#panel.querySelector(".close").addEventListener("click", () => this.#choose(false));
    this.#panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || ROOMY.matches) return;
      event.stopPropagation(); // it closes this, and stops nothing
      this.#choose(false);
    });
    const restore = () => this.#show(ROOMY.matches && recall(panelId, isOpenAtFirst));
    ROOMY.addEventListener("change", restore);
    restore();
  }

  open() {
    if (this.#panel.hidden) this.#show(true);
  }

  /** Close it if it covers the page. */
  uncover() {
    if (!ROOMY.matches && !this.#panel.hidden) this.#show(false);
  }

  #choose(isOpen) {
    if (ROOMY.matches) remember(this.#panel.id, isOpen);
    this.#show(isOpen);
    if (isOpen) this.#panel.querySelector("button, input, textarea").focus();
    else this.#button.focus();
  }

  #show(isOpen) {
    this.#panel.hidden = !isOpen;
    this.#button.setAttribute("aria-expanded", String(isOpen));
    const covers = isOpen && !ROOMY.matches;
    this.#panel.classList.toggle("covers", covers);
    for (const other of this.#others) other.inert = covers;
  }
}
