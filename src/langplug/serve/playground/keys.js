// Which keys do what.

/** Whether a key sends what was written: Enter alone, and not the one that chooses a word of an input method. */
export function sendsOn(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}
