// What stands below a turn: its versions, and what can be done with it.

import { placeOf } from "./conversation.js";
import { el, iconButton } from "./dom.js";

/** The row of tools of a turn; with a way to its other versions, if there are any. */
export function turnTools(thread, node, actions, tools) {
  const row = el("div", { class: "tools" });
  const { index, count } = placeOf(thread, node);
  if (count > 1) {
    const go = (step) => () => actions.showNeighbour(thread, node, step);
    const place = el("span", { t: "versions", values: { index: index + 1, count } });
    row.append(
      iconButton("left", "action.previous", go(-1), { "data-go": "left" }),
      place,
      iconButton("right", "action.next", go(1), { "data-go": "right" }),
    );
  }
  row.append(...tools);
  return row;
}
