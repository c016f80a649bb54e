// The list of conversations on the page, and the way of all of them into a file and back.

import { el, iconButton } from "./dom.js";
import { t } from "./strings.js";

/** Shows the conversations that this browser keeps. */
export class HistoryView {
  #list = document.getElementById("list");
  #empty = document.getElementById("list-empty");
  #actions;
  #shown = "";

  /** @param {{open: Function, create: Function, remove: Function, exportAll: Function, importAll: Function}} actions */
  constructor(actions) {
    this.#actions = actions;
    const file = document.getElementById("import-file");
    document.getElementById("new").addEventListener("click", actions.create);
    document.getElementById("export").addEventListener("click", async () => offer(await actions.exportAll()));
    document.getElementById("import").addEventListener("click", () => file.click());
    file.addEventListener("change", async () => {
      const [chosen] = file.files;
      if (chosen) await actions.importAll(await chosen.text());
      file.value = "";
    });
  }

  /** Show `conversations`, newest first, of which one is open. */
  render(conversations, openId) {
    const wanted = JSON.stringify([conversations, openId, t("history.untitled")]);
    if (wanted === this.#shown) return; // or whoever walks through the list would lose the place
    this.#shown = wanted;
    this.#empty.hidden = conversations.length > 0;
    document.getElementById("export").disabled = !conversations.length;
    this.#list.replaceChildren(...conversations.map((one) => this.#item(one, one.id === openId)));
  }

  focus() {
    document.getElementById("new").focus();
  }

  #item({ id, title }, isOpen) {
    const name = title || t("history.untitled");
    const open = el("button", { type: "button", class: "open", on: { click: () => this.#actions.open(id) } }, name);
    if (isOpen) open.setAttribute("aria-current", "true");
    const click = () => this.#actions.remove(id, name);
    const remove = iconButton("remove", "history.delete", click, { values: { title: name } });
    return el("li", {}, open, remove);
  }
}

function offer(text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const day = new Date().toISOString().slice(0, 10);
  el("a", { href: url, download: `langplug-conversations-${day}.json` }).click();
  URL.revokeObjectURL(url);
}
