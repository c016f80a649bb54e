// Elements of the page: made without markup, and worded in the language of the page.

import { t } from "./strings.js";

/**
 * Make an element.
 * @param {object} properties attributes, and: `t` and `label`, keys of what it says and of what it is called; `values`,
 *   what goes into these; `on`, what listens to its events
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { t: said, label, values, on = {}, ...attributes } = properties;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  if (said) element.dataset.t = said;
  if (label) element.dataset.label = label;
  if (values) element.dataset.values = JSON.stringify(values);
  for (const child of children.flat()) element.append(child); // one by one: a call cannot take 100,000
  word(element);
  return element;
}

/** Say everything below `root` in the language of the page. */
export function wordAll(root) {
  for (const element of root.querySelectorAll("[data-t], [data-label], [data-placeholder]")) word(element);
}

/** Say what an element says in the language of the page. */
export function word(element) {
  const { t: said, label, placeholder, values } = element.dataset;
  const filled = values ? JSON.parse(values) : {};
  if (said) element.textContent = t(said, filled);
  if (placeholder) element.placeholder = t(placeholder, filled);
  if (!label) return;
  element.setAttribute(element.matches("img") ? "alt" : "aria-label", t(label, filled));
  if (element.matches("button, a")) element.title = t(label, filled);
}

/** Have `parent` hold `nodes`. Those that it holds already are not touched: they keep the focus, and what is typed in them. */
export function place(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, at) => {
    if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] ?? null);
  });
}

const ICONS = {
  plus: "M8 3v10M3 8h10",
  send: "M8 13V3.5M3.5 8 8 3.5 12.5 8",
  stop: "M4.5 4.5h7v7h-7z",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "m3 8.5 3.5 3.5L13 4.5",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13.2 2v3h-3",
  edit: "m3 13 .7-3L11 2.7 13.3 5 6 12.3z",
  left: "M10 3.5 5.5 8l4.5 4.5",
  right: "M6 3.5 10.5 8 6 12.5",
  down: "M8 3v9.5M3.5 8 8 12.5 12.5 8",
  close: "m4 4 8 8M12 4l-8 8",
  settings: "M2.5 5h6M12 5h1.5M10.25 3.25a1.75 1.75 0 1 1 0 3.5 1.75 1.75 0 0 1 0-3.5M2.5 11h1.5M7.5 11h6M5.75 9.25a1.75 1.75 0 1 1 0 3.5 1.75 1.75 0 0 1 0-3.5",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  image: "M2.5 3h11v10h-11zM2.5 11l3.5-3.5 2.5 2.5 1.5-1.5 3.5 3M10.5 5.5h.01",
  compare: "M2.5 3h4.5v10h-4.5zM9 3h4.5v10h-4.5z",
  code: "M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5",
  frames: "M2.5 3.5h11M2.5 6.5h8M2.5 9.5h11M2.5 12.5h5",
  remove: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9",
};

/** A drawing of 16 × 16, in the colour of the text. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

/** A button that shows an icon alone. */
export function iconButton(name, label, click, properties = {}) {
  return el("button", { type: "button", class: "icon-button", label, on: { click }, ...properties }, icon(name));
}

/** A button that copies what `textOf` gives, and says so. */
export function copyButton(label, textOf) {
  const button = iconButton("copy", label, async () => {
    await copyText(textOf());
    button.replaceChildren(icon("check"));
    announce(t("copied"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  });
  return button;
}

/** Pages that come without TLS from another machine have no clipboard: there, as pages did before. */
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = el("textarea", { class: "unseen" });
  field.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** Have a screen reader say something once it has said what it is saying. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}
