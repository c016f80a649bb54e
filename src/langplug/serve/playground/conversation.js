// A conversation: one or two threads, each a tree of turns of which one path is shown. No page, no storage.

const ROOT = "root";

/** A conversation with one empty thread. */
export function newConversation(model, settings) {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, settings: { ...settings }, threads: [newThread(model)] };
}

export function newThread(model) {
  return { model, nodes: { [ROOT]: { id: ROOT, parent: null, role: "root", children: [], shown: null } } };
}

/**
 * The same turns for another model.
 * @returns {{thread: object, copies: [string, string][]}} with the id of each turn, and of its copy
 */
export function copyThread({ nodes }, model) {
  const ids = new Map(Object.keys(nodes).map((id) => [id, id === ROOT ? ROOT : newId()]));
  const copied = (id) => ids.get(id) ?? null;
  const copies = Object.values(structuredClone(nodes)).map((node) => ({
    ...node,
    id: copied(node.id),
    parent: copied(node.parent),
    children: node.children.map(copied),
    shown: copied(node.shown),
  }));
  ids.delete(ROOT);
  return { thread: { model, nodes: Object.fromEntries(copies.map((node) => [node.id, node])) }, copies: [...ids] };
}

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Add a turn below `parent`, and show it. */
export function addTurn(thread, parent, turn) {
  const node = { ...turn, id: newId(), parent, children: [], shown: null };
  thread.nodes[node.id] = node;
  thread.nodes[parent].children.push(node.id);
  thread.nodes[parent].shown = node.id;
  return node;
}

/** The turns that are shown, oldest first. */
export function shownTurns(thread) {
  const turns = [];
  for (let id = thread.nodes[ROOT].shown; id; id = thread.nodes[id].shown) turns.push(thread.nodes[id]);
  return turns;
}

/** Where the next turn goes. */
export function lastId(thread) {
  return shownTurns(thread).at(-1)?.id ?? ROOT;
}

/** The turns before `node`, oldest first. */
export function turnsBefore(thread, node) {
  const turns = [];
  for (let id = node.parent; id !== ROOT; id = thread.nodes[id].parent) turns.unshift(thread.nodes[id]);
  return turns;
}

/** Which of its parent's turns `node` is, and of how many. */
export function placeOf(thread, node) {
  const { children } = thread.nodes[node.parent];
  return { index: children.indexOf(node.id), count: children.length };
}

/** Show the neighbour of `node` that is `step` to the right. */
export function showNeighbour(thread, node, step) {
  const parent = thread.nodes[node.parent];
  const { index, count } = placeOf(thread, node);
  parent.shown = parent.children[(index + step + count) % count];
}

/** The first words of the first question. */
export function titleOf(conversation) {
  const first = conversation.threads.flatMap(shownTurns).find((turn) => turn.role === "user");
  return (first?.text ?? "").trim().replace(/\s+/g, " ").slice(0, 80);
}

export function isEmpty(conversation) {
  return conversation.threads.every((thread) => thread.nodes[ROOT].children.length === 0);
}

/** The calls of an answer that has no results yet. */
export function openCalls(thread, node) {
  return node.role === "assistant" && node.shown === null && node.state !== "running" ? node.calls : [];
}
