// The dialog of the page: the frames of an answer, a request as code, and a question before something is gone for good.

import { WRITERS } from "./copy_as.js";
import { copyButton, el } from "./dom.js";
import { t } from "./strings.js";

const FRAMES_AT_ONCE = 1000;

/** Show a dialog; Escape closes it, and what had the focus has it again. */
function show(title, ...children) {
  const dialog = document.getElementById("dialog");
  const heading = document.getElementById("dialog-title");
  heading.dataset.t = title;
  heading.textContent = t(title);
  document.getElementById("dialog-body").replaceChildren(...children);
  if (!dialog.open) dialog.showModal();
}

export function closeDialog() {
  document.getElementById("dialog").close();
}

/** Frames, each with its time: `[[ms, data], ...]`. */
export function showFrames(frames, { requestId }) {
  if (!frames.length) {
    show("frames.title", el("p", { t: "frames.none" }));
    return;
  }
  const lines = frames.map(([ms, data]) => `${ms.toFixed(1).padStart(8)}  ${data}`);
  const text = el("code");
  const more = el("button", { type: "button", class: "button quiet", on: { click: () => add() } });
  let shown = 0;
  const add = () => {
    const next = lines.slice(shown, shown + FRAMES_AT_ONCE);
    text.append(`${next.join("\n")}\n`);
    shown += next.length;
    more.hidden = shown === lines.length;
    more.textContent = t("frames.more", { count: Math.min(FRAMES_AT_ONCE, lines.length - shown) });
  };
  add();
  const about = el("span", { t: "frames.count", values: { count: frames.length } });
  const id = requestId ? [el("p", { class: "hint", t: "error.requestId", values: { id: requestId } })] : [];
  const data = frames.map(([, frame]) => `data: ${frame}\n\n`);
  show("frames.title", ...id, codeBox(about, text, "frames.text", () => data.join("")), more);
}

/** A request as code, for whichever client is chosen. */
export function showCopyAs(base, body, needsKey) {
  const [text, language] = [el("code"), el("span")];
  const choose = (name) => {
    text.textContent = WRITERS[name].write(base, body, needsKey);
    language.textContent = WRITERS[name].language;
  };
  const options = Object.entries(WRITERS).map(([value, { name }]) => [value, name]);
  const choice = segments("copyAs.language", "copy-as", options, options[0][0], choose);
  choose(options[0][0]);
  const note = el("p", { class: "hint", t: "copyAs.note" });
  show("copyAs.title", choice, codeBox(language, text, "code", () => text.textContent), ...(needsKey ? [note] : []));
}

/** Ask before something is gone for good. */
export function confirmRemoval(title, remove) {
  const act = () => {
    closeDialog();
    remove();
  };
  const row = el(
    "div",
    { class: "row" },
    el("div", { class: "space" }),
    el("button", { type: "button", class: "button quiet", t: "action.cancel", on: { click: closeDialog } }),
    el("button", { type: "button", class: "button danger", t: "action.delete", on: { click: act } }),
  );
  show("delete.title", el("p", { t: "delete.text", values: { title } }), row);
}

function codeBox(about, text, label, textOf) {
  const head = el("div", { class: "code-head" }, about, copyButton("copy.code", textOf));
  return el("div", { class: "code tall" }, head, el("pre", { tabindex: "0", role: "group", label }, text));
}

/** A choice of a few, as radio buttons that look like one bar. */
export function segments(legend, name, options, chosen, choose) {
  const items = options.map(([value, text]) => {
    const change = () => choose(value);
    const input = el("input", { type: "radio", name, value, checked: value === chosen, on: { change } });
    return el("label", {}, input, el("span", {}, text));
  });
  return el("fieldset", { class: "segments" }, el("legend", { class: "unseen", t: legend }), ...items);
}
