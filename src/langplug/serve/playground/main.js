// The page: brings its parts together.

import { API, listModels, pause } from "./api.js";
import { Composer } from "./composer.js";
import { newConversation, turnsBefore } from "./conversation.js";
import { confirmRemoval, segments, showCopyAs, showFrames } from "./dialogs.js";
import { announce, el, icon, iconButton, wordAll } from "./dom.js";
import { Drawer } from "./drawers.js";
import { HistoryView } from "./history_view.js";
import { recall, remember, tab } from "./preferences.js";
import { bodyOf, messagesOf, NO_SETTINGS, parametersOf } from "./request.js";
import { Session } from "./session.js";
import { applyTheme, SettingsView } from "./settings_view.js";
import { openStorage } from "./storage.js";
import { currentLanguage, setLanguage, t } from "./strings.js";
import { announcementOf, ThreadView } from "./thread_view.js";

const byId = (id) => document.getElementById(id);

class Page {
  #storage;
  #session;
  #models = [];
  #views = [];
  #listing = new AbortController();
  #history;
  #settings;
  #composer;
  #historyDrawer;
  #settingsDrawer;

  constructor(storage) {
    this.#storage = storage;
    this.#session = new Session(storage, () => tab.get("key"));
    this.#session.addEventListener("turns", () => this.#showTurns());
    this.#session.addEventListener("progress", ({ detail }) => this.#update(detail, false));
    this.#session.addEventListener("end", ({ detail }) => this.#update(detail, true));
    this.#session.addEventListener("saved", () => this.#showHistory());
    this.#session.addEventListener("unsaved", ({ detail }) => this.#notice("history.unsaved", { detail }));
    this.#history = new HistoryView({
      open: (id) => this.#open(id),
      create: () => this.#create(),
      remove: (id, title) => confirmRemoval(title, () => this.#remove(id)),
      exportAll: () => storage.exportAll(),
      importAll: (text) => this.#import(text),
    });
    this.#composer = new Composer({
      send: (text, images) => this.#send(text, images),
      stop: () => this.#session.stopAll(),
      refuse: (name) => this.#notice("image.wrong", { name }),
    });
    this.#historyDrawer = new Drawer("history", "show-history", true);
    this.#settingsDrawer = new Drawer("settings", "show-settings", false);
    this.#makeSettings();
    byId("compare").addEventListener("click", () => this.#compare());
    byId("dialog").querySelector(".close").addEventListener("click", () => byId("dialog").close());
    window.addEventListener("pagehide", () => this.#session.saveRunning());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !byId("dialog").open && !event.isComposing) this.#session.stopAll();
    });
  }

  async start() {
    const wasOpen = tab.get("open");
    if (!wasOpen || !(await this.#open(wasOpen))) this.#create();
    if (!this.#storage.isKept) this.#notice("history.forgetful");
    await this.#list();
  }

  // --- models ---

  /** Learn which models there are; while they are being loaded, ask again. */
  async #list() {
    this.#listing.abort();
    this.#listing = new AbortController();
    const { signal } = this.#listing;
    try {
      this.#models = (await listModels({ key: tab.get("key"), signal })).map((model) => model.id);
      if (byId("notice").querySelector("[data-t^='models.']")) this.#notice(null);
      this.#chooseMissing();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.isLoading) {
        this.#notice("models.loading");
        await pause((error.retryAfter ?? 1) * 1000, signal).catch(() => {});
        if (!signal.aborted) await this.#list();
      } else if (error.status === 401) {
        this.#askForKey();
      } else this.#notice("models.failed", { detail: error.message || t(`error.${error.code}`) }, () => this.#list());
    }
  }

  #askForKey() {
    this.#settingsDrawer.open();
    this.#settings.askForKey();
  }

  /** A conversation that names no model, or one that is gone and was not asked, gets one. */
  #chooseMissing() {
    for (const [number, thread] of this.#session.conversation.threads.entries()) {
      if (!thread.model) thread.model = this.#likely(number);
    }
    this.#views = [];
    this.#showTurns();
  }

  /** The model that was asked last in this place, else the one that stands there. */
  #likely(number) {
    const last = recall("models", [])[number];
    return this.#models.includes(last) ? last : (this.#models[number] ?? this.#models[0] ?? "");
  }

  #chooseModel(thread, model) {
    thread.model = model;
    const { threads } = this.#session.conversation;
    remember("models", threads.map((one) => one.model));
    this.#showTurns();
    this.#showChoiceOfPane(threads);
    this.#session.save();
  }

  // --- conversations ---

  #create() {
    this.#views = [];
    const settings = { ...NO_SETTINGS, ...recall("settings", {}) };
    this.#session.show(newConversation(this.#likely(0), settings));
    this.#enter();
  }

  /** Open a conversation; whether it is still kept. */
  async #open(id) {
    this.#views = [];
    const isKept = await this.#session.open(id);
    if (isKept) this.#enter();
    return isKept;
  }

  /** Go on in the conversation that has been opened, where one writes. */
  #enter() {
    this.#historyDrawer.uncover();
    this.#composer.focus();
    this.#showHistory();
  }

  async #remove(id) {
    await this.#session.remove(id);
    if (id === this.#session.conversation.id) this.#create();
    else this.#history.focus();
  }

  async #import(text) {
    try {
      const ids = await this.#storage.importAll(text);
      announce(t("history.imported", { count: ids.length }));
      this.#notice(null);
      const { id } = this.#session.conversation;
      if (ids.includes(id)) await this.#open(id);
    } catch (error) {
      const isUnsaved = error instanceof DOMException; // the browser's own words, as when it has no room
      this.#notice(isUnsaved ? "history.unsaved" : "history.importFailed", { detail: error.message });
    }
    await this.#showHistory();
  }

  async #showHistory() {
    const { id } = this.#session.conversation;
    tab.set("open", id);
    this.#history.render(await this.#storage.list(), id);
  }

  // --- asking ---

  #send(text, images) {
    if (!this.#isReady()) return false;
    this.#session.send(text, images);
    for (const view of this.#views) view.follow();
    return true;
  }

  /** Whether there is a model, and nothing wrong in the settings; else what is missing is shown. */
  #isReady() {
    const { settings, threads } = this.#session.conversation;
    const [problem] = parametersOf(settings).problems;
    if (problem) {
      this.#settingsDrawer.open();
      this.#settings.focusOn(problem.name);
      return false;
    }
    if (threads.some((thread) => !thread.model)) {
      this.#list();
      return false;
    }
    return true;
  }

  /** What can be done with turns. Each goes on where one writes, so that the keyboard is not lost. */
  #actions = {
    edit: (thread, node, text, images) => this.#act(() => this.#session.edit(thread, node, text, images)),
    regenerate: (thread, node) => this.#act(() => this.#session.regenerate(thread, node)),
    sendResults: (thread, node, results) => this.#act(() => this.#session.sendResults(thread, node, results)),
    stop: (answer) => {
      this.#session.stop(answer);
      this.#composer.focus();
    },
    showNeighbour: (thread, node, step) => {
      const number = this.#session.conversation.threads.indexOf(thread);
      this.#session.showNeighbour(thread, node, step);
      this.#views[number].focusOn(thread.nodes[node.parent].shown, step < 0 ? "left" : "right");
    },
    chooseModel: (thread, model) => this.#chooseModel(thread, model),
    frames: async (_, answer) => showFrames(await this.#session.framesOf(answer), answer),
    copyAs: (thread, answer) => {
      const messages = messagesOf(answer.system, turnsBefore(thread, answer));
      const body = bodyOf(answer.model, messages, answer.parameters);
      showCopyAs(API, body, tab.get("key") !== "");
    },
  };

  #act(ask) {
    if (!this.#isReady()) return;
    ask();
    this.#composer.focus();
  }

  // --- what is shown ---

  #showTurns() {
    const { threads } = this.#session.conversation;
    if (this.#views.length === threads.length && this.#views.every((view, at) => view.thread === threads[at])) {
      for (const view of this.#views) view.render();
    } else {
      this.#views = threads.map((thread, number) => this.#viewOf(thread, number));
      byId("panes").replaceChildren(...this.#views.map((view) => view.element));
      this.#settings.settings = this.#session.conversation.settings;
      this.#showChoiceOfPane(threads);
    }
    this.#composer.isRunning = this.#session.isRunning;
  }

  #viewOf(thread, number) {
    const close = iconButton("close", "compare.close", () => this.#compare());
    return new ThreadView(thread, this.#models, this.#actions, number ? [close] : []);
  }

  /** Where there is room for one of two models, which it is. */
  #showChoiceOfPane(threads) {
    const isTwo = threads.length === 2;
    const choose = (number) => {
      byId("panes").dataset.shown = number;
    };
    const shown = isTwo ? Number(byId("panes").dataset.shown ?? 0) : 0;
    choose(shown);
    const options = threads.map((thread, number) => [number, thread.model]);
    const bar = segments("compare.shown", "shown", options, shown, choose);
    bar.id = "shown";
    bar.hidden = !isTwo;
    byId("shown").replaceWith(bar);
    const button = byId("compare");
    button.setAttribute("aria-pressed", String(isTwo));
    button.dataset.label = isTwo ? "compare.close" : "compare.open";
    wordAll(button.parentElement);
  }

  async #compare() {
    if (this.#session.conversation.threads.length === 2) await this.#session.separate();
    else await this.#session.compare(this.#likely(1));
    this.#composer.focus();
  }

  #update(answer, isEnd) {
    for (const view of this.#views) view.update(answer, isEnd);
    if (!isEnd) return;
    for (const view of this.#views) view.render();
    this.#composer.isRunning = this.#session.isRunning;
    if (!this.#views.some((view) => view.shows(answer))) return;
    announce(announcementOf(answer));
    if (answer.error?.status === 401) this.#askForKey();
    if (answer.error?.status === 404) this.#list(); // another server by now: it has other models
  }

  #notice(key, values = {}, retry = null) {
    const notice = byId("notice");
    notice.hidden = key === null;
    if (!key) return;
    const again = retry && el("button", { type: "button", class: "button quiet", t: "action.retry", on: { click: retry } });
    const close = iconButton("close", "action.close", () => {
      this.#notice(null);
      this.#composer.focus();
    });
    notice.replaceChildren(el("span", { t: key, values }), ...(again ? [again] : []), close);
  }

  // --- settings ---

  #makeSettings() {
    this.#settings = new SettingsView({
      changed: (settings) => {
        this.#session.conversation.settings = settings;
      },
      settled: () => {
        remember("settings", this.#session.conversation.settings);
        this.#session.save();
      },
      key: tab.get("key"),
      keyChanged: (key) => {
        tab.set("key", key);
        this.#list();
      },
      languageChanged: (language) => {
        setLanguage(language);
        this.#word();
      },
    });
  }

  /** Say everything in the language of the page. */
  #word() {
    document.documentElement.lang = currentLanguage();
    this.#views = [];
    wordAll(document);
    this.#showTurns();
    this.#showHistory();
  }
}

document.documentElement.lang = currentLanguage();
applyTheme();
for (const button of document.querySelectorAll("[data-icon]")) button.append(icon(button.dataset.icon));
wordAll(document);
new Page(await openStorage()).start();
