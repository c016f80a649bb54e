// What this browser remembers of how somebody likes the page. The key is not among it.

const PREFIX = "langplug.";

/** What was remembered; `fallback` if nothing was, or the browser remembers nothing. */
export function recall(name, fallback) {
  return attempt(() => JSON.parse(localStorage.getItem(PREFIX + name))) ?? fallback;
}

export function remember(name, value) {
  attempt(() => localStorage.setItem(PREFIX + name, JSON.stringify(value)));
}

const ofThisTab = new Map();

/** What belongs to this tab alone, and is forgotten with it: the key, and which conversation is open. */
export const tab = {
  get: (name) => ofThisTab.get(name) ?? attempt(() => sessionStorage.getItem(PREFIX + name)) ?? "",
  set(name, value) {
    ofThisTab.set(name, value);
    attempt(() => sessionStorage.setItem(PREFIX + name, value));
  },
};

/** What `use` gives; nothing where the browser refuses to keep anything, such as for somebody who blocks cookies. */
function attempt(use) {
  try {
    return use();
  } catch {
    return undefined;
  }
}
