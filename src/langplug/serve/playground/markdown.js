// Markdown that comes piece by piece, as nodes of the page. What a model writes is text: nothing of it is parsed as HTML,
// nothing in it is run, and nothing is asked for at another host.

import { copyButton, el } from "./dom.js";
import { blocksOf } from "./markdown_blocks.js";
import { inlineNodes } from "./markdown_inline.js";

/** Shows a text that grows. Blocks that are complete are left alone; the open one is made again. */
export class MarkdownView {
  #container;
  #closed = 0; // so much of the text is shown for good
  #open = []; // the nodes of the rest
  #code = null; // the text node of a code block at the end: it only grows
  #language = "";

  constructor(container) {
    this.#container = container;
  }

  /** Show the text, which begins with all that was shown before. */
  render(text) {
    const lines = text.slice(this.#closed).split("\n");
    const blocks = blocksOf(lines);
    if (this.#grows(blocks)) return;
    for (const node of this.#open) node.remove();
    const nodes = blocks.map(nodeOf);
    for (const node of nodes) this.#container.append(node);
    const kept = closedBlocks(blocks, lines.length);
    this.#open = nodes.slice(kept);
    this.#code = this.#open.length === 1 && blocks.at(-1).kind === "code" ? codeText(this.#open[0]) : null;
    this.#language = blocks.at(-1)?.language;
    if (kept) this.#closed += offsetOf(text.slice(this.#closed), blocks[kept]?.line ?? 0);
  }

  #grows(blocks) {
    if (this.#code === null || blocks.length !== 1 || blocks[0].kind !== "code") return false;
    const { language, text } = blocks[0];
    if (language !== this.#language || !text.startsWith(this.#code.data)) return false;
    this.#code.appendData(text.slice(this.#code.length));
    return true;
  }
}

/** How many blocks nothing that comes can change. The last line may still turn out to belong to the block before it. */
function closedBlocks(blocks, lineCount) {
  const isOnLastLine = blocks.at(-1)?.line === lineCount - 1;
  return Math.max(0, blocks.length - (isOnLastLine ? 2 : 1));
}

function offsetOf(text, line) {
  let offset = 0;
  for (let count = 0; count < line; count += 1) offset = text.indexOf("\n", offset) + 1;
  return offset;
}

function codeText(node) {
  const code = node.querySelector("code");
  if (!code.firstChild) code.append("");
  return code.firstChild;
}

/** The node of a block. */
function nodeOf(block) {
  switch (block.kind) {
    case "heading":
      return el(`h${Math.min(block.level + 2, 6)}`, { class: `level-${block.level}` }, inlineNodes(block.text));
    case "code":
      return codeNode(block);
    case "quote":
      return el("blockquote", {}, block.blocks.map(nodeOf));
    case "list":
      return listNode(block);
    case "table":
      return tableNode(block);
    case "rule":
      return el("hr");
    default:
      return el("p", {}, inlineNodes(block.text));
  }
}

function codeNode({ language, text }) {
  const code = el("code", {}, document.createTextNode(text));
  const copy = copyButton("copy.code", () => code.textContent);
  const head = el("div", { class: "code-head" }, el("span", {}, language), copy);
  return el("div", { class: "code" }, head, el("pre", { tabindex: "0", role: "group", label: "code" }, code));
}

function listNode({ isOrdered, start, isLoose, items }) {
  const shown = items.map((blocks) => el("li", {}, blocks.map((block, at) => itemNode(block, isLoose, at === 0))));
  return el(isOrdered ? "ol" : "ul", isOrdered && start !== 1 ? { start } : {}, shown);
}

function itemNode(given, isLoose, isFirst) {
  const block = isFirst && given.kind === "paragraph" ? { ...given, text: withBox(given.text) } : given;
  return block.kind === "paragraph" && !isLoose ? inlineNodes(block.text) : nodeOf(block);
}

/** What begins with `[ ]` or `[x]` is something to do, or done. */
function withBox(text) {
  return text.replace(/^\[( |x|X)\](?= )/, (_, mark) => (mark === " " ? "☐" : "☑"));
}

function tableNode({ aligns, head, rows }) {
  const cell = (tag) => (text, column) => el(tag, { class: `to-${aligns[column]}` }, inlineNodes(text));
  const body = rows.map((row) => el("tr", {}, row.map(cell("td"))));
  const top = el("thead", {}, el("tr", {}, head.map(cell("th"))));
  const table = el("table", {}, top, el("tbody", {}, body));
  return el("div", { class: "table", tabindex: "0", role: "group", label: "table" }, table);
}
