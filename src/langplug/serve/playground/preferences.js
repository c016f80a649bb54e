// What this browser remembers of how somebody likes the page. The key is not among it.

const PREFIX = "langplug.";

/** What was remembered; `fallback` if nothing was, or the browser remembers nothing. */
export function recall(name, fallback) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // private windows may refuse: then it holds for as long as the page is open
  }
}

/** What belongs to this tab alone, and is forgotten with it: the key, and which conversation is open. */
export const tab = {
  get: (name) => sessionStorage.getItem(PREFIX + name) ?? "",
  set: (name, value) => sessionStorage.setItem(PREFIX + name, value),
};
