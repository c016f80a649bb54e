// The settings on the page: what is asked beside the messages, the key, and how the page looks.

import { el, word } from "./dom.js";
import { recall, remember } from "./preferences.js";
import { NO_SETTINGS, NUMBERS, parametersOf } from "./request.js";
import { currentLanguage, LANGUAGES } from "./strings.js";

const EFFORTS = ["none", "minimal", "low", "medium", "high"];
const SCHEMA_EXAMPLE = `{
  "type": "object",
  "properties": {"city": {"type": "string"}},
  "required": ["city"]
}`;
const TOOLS_EXAMPLE = `[{
  "type": "function",
  "function": {
    "name": "weather",
    "parameters": {
      "type": "object",
      "properties": {"city": {"type": "string"}}
    }
  }
}]`;

/** The form of the settings. */
export class SettingsView {
  #fields = {};
  #problems = {};
  #key;
  #keyNote;

  /**
   * @param {object} given
   * @param {(settings: object) => void} given.changed told of each change
   * @param {() => void} given.settled told when somebody has made one
   * @param {string} given.key
   */
  constructor({ changed, settled, key, keyChanged, languageChanged }) {
    this.changed = changed;
    this.settled = settled;
    const number = ({ name, min, max, step }) => this.#field(name, "input", { type: "number", min, max, step });
    const efforts = el("datalist", { id: "efforts" }, ...EFFORTS.map((value) => el("option", { value })));
    const groups = [
      group(null, this.#field("system", "textarea", { rows: 4 })),
      group(
        "settings.sampling",
        el("div", { class: "grid" }, ...NUMBERS.map(number)),
        this.#field("reasoning_effort", "input", { list: "efforts" }),
        efforts,
        this.#field("stop", "textarea", { rows: 2 }),
      ),
      group(null, this.#field("schema", "textarea", { rows: 6, class: "mono", placeholder: SCHEMA_EXAMPLE })),
      group(null, this.#field("tools", "textarea", { rows: 6, class: "mono", placeholder: TOOLS_EXAMPLE })),
      group("settings.connection", ...this.#keyField(key, keyChanged)),
      group("settings.page", languageField(languageChanged), themeField()),
    ];
    const form = document.getElementById("settings-form");
    form.replaceChildren(...groups);
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** Show settings. */
  set settings(settings) {
    for (const [name, field] of Object.entries(this.#fields)) field.value = settings[name];
    this.showProblems(parametersOf(settings).problems);
  }

  /** What is typed. */
  get settings() {
    return Object.fromEntries(Object.keys(NO_SETTINGS).map((name) => [name, this.#typed(name)]));
  }

  /** Say what is wrong, each at its field. */
  showProblems(problems) {
    for (const [name, field] of Object.entries(this.#fields)) {
      const problem = problems.find((one) => one.name === name);
      field.setAttribute("aria-invalid", String(Boolean(problem)));
      const told = problem ? [el("span", { t: problem.key, values: problem.values })] : [];
      this.#problems[name].replaceChildren(...told);
    }
  }

  /** Put the cursor where something is wrong. */
  focusOn(name) {
    this.#fields[name].focus();
  }

  /** Ask for the key, or for another than the one that was refused. */
  askForKey() {
    this.#keyNote.dataset.t = this.#key.value.trim() ? "key.wrong" : "key.needed";
    word(this.#keyNote);
    this.#keyNote.hidden = false;
    this.#key.focus();
  }

  /** What a field holds; a number field with letters in it has no value, and is wrong nevertheless. */
  #typed(name) {
    const field = this.#fields[name];
    return field.validity.badInput ? "?" : field.value;
  }

  #field(name, tag, attributes) {
    const id = `setting-${name}`;
    const input = () => {
      this.showProblems(parametersOf(this.settings).problems);
      this.changed(this.settings);
    };
    const about = { id, "aria-describedby": `${id}-problem`, spellcheck: "false", on: { input, change: this.settled } };
    const unset = tag === "input" ? { "data-placeholder": "settings.unset" } : {};
    const field = el(tag, { ...about, ...unset, ...attributes });
    this.#fields[name] = field;
    this.#problems[name] = el("p", { id: `${id}-problem`, class: "problem", "aria-live": "polite" });
    return el("div", { class: "field" }, labelFor(id, `settings.${name}`), field, this.#problems[name]);
  }

  #keyField(key, changed) {
    const change = () => {
      this.#keyNote.hidden = true;
      changed(this.#key.value.trim());
    };
    const about = { id: "key", type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": "key-hint" };
    this.#key = el("input", { ...about, on: { change } });
    this.#key.value = key;
    this.#keyNote = el("p", { class: "problem", role: "alert", hidden: true });
    const hint = el("p", { class: "hint", id: "key-hint", t: "key.hint" });
    return [el("div", { class: "field" }, labelFor("key", "key.label"), this.#key, this.#keyNote, hint)];
  }
}

/** Use the colours that were chosen. */
export function applyTheme() {
  document.documentElement.dataset.theme = recall("theme", "system");
}

function group(title, ...children) {
  return el("section", { class: "group" }, ...(title ? [el("h3", { t: title })] : []), ...children);
}

function labelFor(id, key) {
  return el("label", { for: id, t: key });
}

function choice(id, label, options, change) {
  const select = el("select", { id, on: { change: () => change(select.value) } }, ...options);
  return el("div", { class: "field" }, labelFor(id, label), select);
}

function languageField(changed) {
  const options = Object.entries(LANGUAGES).map(([value, name]) =>
    el("option", { value, lang: value, selected: value === currentLanguage() }, name),
  );
  return choice("language", "page.language", options, changed);
}

function themeField() {
  const chosen = recall("theme", "system");
  const options = ["system", "light", "dark"].map((value) =>
    el("option", { value, t: `page.${value}`, selected: value === chosen }),
  );
  return choice("theme", "page.theme", options, (value) => {
    remember("theme", value);
    applyTheme();
  });
}
