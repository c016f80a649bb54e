// A conversation out of somebody's file: only what is known of one, each of the kind that it has to be.

import { newAnswer } from "./answer.js";
import { NO_SETTINGS } from "./request.js";

/**
 * @returns a conversation
 * @throws {Error} if it cannot be one
 */
export function readConversation(given) {
  const threads = list(given?.threads).slice(0, 2).map(readThread);
  if (!threads.length) throw new Error("threads");
  return {
    id: text(given.id) || fail("id"),
    title: text(given.title),
    created: number(given.created) ?? 0,
    updated: number(given.updated) ?? 0,
    settings: Object.fromEntries(Object.keys(NO_SETTINGS).map((name) => [name, text(given.settings?.[name])])),
    threads,
  };
}

/** The frames of an answer, each with its time. */
export function readFrames(given) {
  return list(given).map((frame) => [number(frame?.[0]) ?? 0, text(frame?.[1])]);
}

function readThread(given) {
  const nodes = Object.create(null);
  for (const node of Object.values(given?.nodes ?? {})) nodes[text(node?.id)] = readNode(node);
  checkTree(nodes);
  return { model: text(given.model), nodes: { ...nodes } };
}

function readNode(given) {
  const children = list(given.children).map(text);
  const shown = children.includes(given.shown) ? given.shown : null;
  const place = { id: text(given.id), parent: given.parent === null ? null : text(given.parent), children, shown };
  switch (given.role) {
    case "root":
      return { ...place, role: "root" };
    case "user":
      return { ...place, role: "user", text: text(given.text), images: list(given.images).filter(isImage) };
    case "tool":
      return { ...place, role: "tool", results: list(given.results).map((result) => readResult(result, "text")) };
    case "assistant":
      return { ...place, ...readAnswer(given) };
    default:
      return fail("role");
  }
}

function readAnswer(given) {
  const { error, times = {}, usage } = given;
  return {
    ...newAnswer(text(given.model), object(given.parameters) ?? {}, text(given.system)),
    text: text(given.text),
    reasoning: text(given.reasoning),
    refusal: text(given.refusal),
    calls: list(given.calls).map((call) => readResult(call, "arguments")),
    finish: text(given.finish) || null,
    usage: object(usage),
    times: { first: number(times.first), last: number(times.last), end: number(times.end) },
    state: ["done", "stopped", "failed"].includes(given.state) ? given.state : "stopped",
    error: object(error) && readError(error),
    requestId: text(given.requestId) || null,
    ignored: text(given.ignored),
  };
}

function readError({ message, status, type, code, requestId }) {
  const known = { type: text(type) || null, code: text(code) || null, requestId: text(requestId) || null };
  return { message: text(message), status: number(status) ?? 0, ...known };
}

/** A call, or its result: they differ in what holds their text. */
function readResult(given, field) {
  return { id: text(given?.id), name: text(given?.name), [field]: text(given?.[field]) };
}

/** From the root, each node is met once, by way of its parent. */
function checkTree(nodes) {
  const waiting = ["root"];
  let met = 0;
  while (waiting.length) {
    const id = waiting.pop();
    const node = nodes[id] ?? fail("nodes");
    met += 1;
    for (const child of node.children) {
      if (nodes[child]?.parent !== id) fail("parent");
      waiting.push(child);
    }
    if (met > Object.keys(nodes).length) fail("nodes");
  }
  if (met !== Object.keys(nodes).length || nodes.root.role !== "root") fail("nodes");
}

/** Pictures are in the file itself: no other address is ever asked for one. */
export function isImage(url) {
  return /^data:image\/(png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=]+$/.test(url);
}

function text(value) {
  return typeof value === "string" ? value : "";
}

function number(value) {
  return typeof value === "number" ? value : null;
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

function object(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
}

function fail(what) {
  throw new Error(what);
}
