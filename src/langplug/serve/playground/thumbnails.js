// The pictures of a message that is being written.

import { el, icon } from "./dom.js";

/** Show `images` in `strip`, each with a button that takes it away; `changed` is told of those that are left. */
export function showThumbnails(strip, images, changed) {
  const without = (at) => images.filter((_, other) => other !== at);
  strip.replaceChildren(...images.map((url, at) => thumbnail(url, at + 1, () => changed(without(at)))));
}

function thumbnail(url, number, click) {
  const values = { number };
  const remove = el("button", { type: "button", label: "composer.removeImage", values, on: { click } }, icon("close"));
  return el("div", { class: "thumbnail" }, el("img", { src: url, label: "composer.image", values }), remove);
}
