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
    this.#others = [...document.body.children].filter((other) => other !== this.#panel && !other.matches("#status, dialog"));
    this.#button.addEventListener("click", () => this.#choose(this.#panel.hidden));
    this.#panel.querySelector(".close").addEventListener("click", () => this.#choose(false));
    // of the whole page: whoever has touched no field has the focus nowhere
    const leave = (event) => {
      if (event.key !== "Escape" || !this.#isOnTop || event.isComposing) return;
      event.stopPropagation(); // it closes this, and stops nothing
      this.#choose(false);
    };
    document.addEventListener("keydown", leave, { capture: true });
    document.addEventListener("click", (event) => {
      const isWithin = [this.#panel, this.#button].some((one) => event.composedPath().includes(one));
      if (this.#isOnTop && !isWithin) this.#choose(false);
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

  /** Whether it covers the page, and no dialog covers it. */
  get #isOnTop() {
    return this.#panel.matches(".covers") && !document.querySelector("dialog[open]");
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
