// The turns that are not answers: what somebody asked, and what tools gave.

import { el, iconButton } from "./dom.js";
import { sendsOn } from "./keys.js";
import { showThumbnails } from "./thumbnails.js";
import { turnTools } from "./turn_tools.js";

/** What somebody asked, which can be asked otherwise. */
export function questionNode(thread, node, actions) {
  const article = el("article", { class: "turn question" });
  const show = () => {
    const images = node.images.map((url, at) => el("img", { src: url, label: "image.sent", values: { number: at + 1 } }));
    const edit = iconButton("edit", "action.edit", () => article.replaceChildren(...editor()));
    const tools = turnTools(thread, node, actions, [edit]);
    const pictures = images.length ? [el("div", { class: "images" }, ...images)] : [];
    const words = node.text ? [el("div", { class: "words" }, node.text)] : [];
    article.replaceChildren(el("h3", { class: "unseen", t: "role.user" }), ...pictures, ...words, tools);
  };
  const editor = () => {
    const field = el("textarea", { label: "edit.label", rows: Math.min(12, node.text.split("\n").length + 1) });
    field.value = node.text;
    const save = (text, images) => actions.edit(thread, node, text, images);
    const form = editForm(field, node.images, save, () => {
      show();
      article.querySelector(".tools .icon-button:last-child").focus();
    });
    queueMicrotask(() => field.focus());
    return [form];
  };
  show();
  return article;
}

function editForm(field, given, save, cancel) {
  const strip = el("div", { class: "images" });
  let images;
  const keep = (left) => {
    images = left;
    showThumbnails(strip, images, (fewer) => {
      keep(fewer);
      field.focus();
    });
  };
  keep(given);
  const submit = (event) => {
    event.preventDefault();
    if (field.value.trim() || images.length) save(field.value, images);
  };
  const keydown = (event) => {
    if (sendsOn(event)) submit(event);
    if (event.key !== "Escape") return;
    event.stopPropagation(); // it closes this, and stops nothing
    cancel();
  };
  const row = el(
    "div",
    { class: "row" },
    el("div", { class: "space" }),
    el("button", { type: "button", class: "button quiet", t: "action.cancel", on: { click: cancel } }),
    el("button", { type: "submit", class: "button", t: "action.save" }),
  );
  return el("form", { class: "edit", on: { submit, keydown } }, strip, field, row);
}

/** What tools gave. */
export function resultsNode(thread, node, actions) {
  const results = node.results.map(({ name, text }) => {
    const code = el("pre", { tabindex: "0", role: "group", label: "call.result", values: { name } }, el("code", {}, text));
    return el("div", { class: "call" }, el("h4", { t: "call.result", values: { name } }), code);
  });
  const title = el("h3", { class: "unseen", t: "role.tool" });
  return el("article", { class: "turn given" }, title, ...results, turnTools(thread, node, actions, []));
}
