// What stands within a line of Markdown, as nodes of the page: emphasis, code, links. No markup is ever parsed as HTML.

import { el } from "./dom.js";

const ASCII_PUNCTUATION = /[!-/:-@[-`{-~]/;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const LONGEST_ADDRESS = 2000;

/**
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function inlineNodes(text) {
  return new InlineReader(text).read();
}

/** An address that a link may have: of the web, or of a mailbox; else null. */
export function safeAddress(written) {
  const url = URL.canParse(written) ? new URL(written) : null;
  return url && ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
}

class InlineReader {
  #text;
  #at = 0;
  #plain = "";
  #tokens = []; // nodes, and runs of marks of which it is not known yet what they mean
  #brackets = []; // where "[" stands among the tokens
  #unclosed = new Set(); // ends that do not come any more: lengths of runs of backticks, and what closes formulas

  constructor(text) {
    this.#text = text;
  }

  read() {
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at];
      if (!this.#special(char)) {
        this.#plain += char;
        this.#at += 1;
      }
    }
    this.#flush();
    return nested(this.#tokens);
  }

  /** Whether something begins here; then it has been read. */
  #special(char) {
    switch (char) {
      case "\\":
        return this.#escape();
      case "`":
        return this.#code();
      case "*":
      case "_":
      case "~":
        return this.#marks(char);
      case "[":
        return this.#open(1);
      case "!":
        return this.#text[this.#at + 1] === "[" && this.#open(2);
      case "]":
        return this.#close();
      case "<":
        return this.#angle();
      case "&":
        return this.#entity();
      case "h":
        return this.#bareAddress();
      case "\n":
        return this.#push(el("br"), 1);
      default:
        return false;
    }
  }

  #flush() {
    if (this.#plain) this.#tokens.push(document.createTextNode(this.#plain));
    this.#plain = "";
  }

  #push(token, length) {
    this.#flush();
    this.#tokens.push(token);
    this.#at += length;
    return true;
  }

  #say(text, length) {
    this.#plain += text;
    this.#at += length;
    return true;
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text);
  }

  #escape() {
    const next = this.#text[this.#at + 1];
    if (next === "\n") return this.#push(el("br"), 2);
    if ("([".includes(next) && this.#formula(next === "(" ? "\\)" : "\\]")) return true;
    return next !== undefined && ASCII_PUNCTUATION.test(next) && this.#say(next, 2);
  }

  /** A formula is shown as it is written: its marks are no Markdown. */
  #formula(close) {
    const end = this.#unclosed.has(close) ? -1 : this.#text.indexOf(close, this.#at + 2);
    if (end < 0) this.#unclosed.add(close);
    return end >= 0 && this.#push(el("code", {}, this.#text.slice(this.#at + 2, end).trim()), end + 2 - this.#at);
  }

  #code() {
    const [run] = this.#match(/`+/y);
    const from = this.#at + run.length;
    for (let end = this.#unclosed.has(run.length) ? -1 : this.#text.indexOf(run, from); end >= 0; ) {
      let after = end + run.length;
      while (this.#text[after] === "`") after += 1;
      if (after - end === run.length) {
        const said = this.#text.slice(from, end).replaceAll("\n", " ");
        const isPadded = said.startsWith(" ") && said.endsWith(" ") && said.trim() !== "";
        return this.#push(el("code", {}, isPadded ? said.slice(1, -1) : said), after - this.#at);
      }
      end = this.#text.indexOf(run, after);
    }
    this.#unclosed.add(run.length);
    return this.#say(run, run.length);
  }

  #marks(char) {
    let end = this.#at;
    while (this.#text[end] === char) end += 1;
    const count = end - this.#at;
    if (char === "~" && count !== 2) return this.#say(char.repeat(count), count);
    const [before, after] = [this.#text[this.#at - 1] ?? " ", this.#text[end] ?? " "];
    return this.#push({ char, left: count, count, ...sides(char, count, before, after), opens: [], closes: [] }, count);
  }

  #open(length) {
    this.#flush();
    this.#brackets.push(this.#tokens.length);
    return this.#push(document.createTextNode(length === 2 ? "![" : "["), length);
  }

  #close() {
    const from = this.#brackets.pop();
    const written = from === undefined ? null : this.#destination();
    if (written === null) return false;
    this.#flush();
    const [bracket, ...inner] = this.#tokens.splice(from);
    const isPicture = bracket.data === "![";
    const said = nested(inner);
    // a picture would be asked for at another host: it is named, and linked
    const shown = isPicture ? el("span", { class: "picture" }, "🖼 ", said) : said;
    const address = safeAddress(written.address);
    if (address && !isPicture) this.#brackets.length = 0; // no link in a link
    this.#tokens.push(address ? linkTo(address, shown) : shown);
    this.#at += written.length;
    return true;
  }

  /** `](address "title")`, if that stands here. */
  #destination() {
    const near = this.#text.slice(this.#at, this.#at + LONGEST_ADDRESS);
    if (!near.startsWith("](")) return null;
    let depth = 0;
    for (let end = 2; end < near.length; end += 1) {
      if (near[end] === "\n") return null;
      if (near[end] === "(") depth += 1;
      if (near[end] === ")" && depth-- === 0) {
        const [address = ""] = near.slice(2, end).trim().split(/\s/, 1);
        return { address: address.replace(/^<|>$/g, ""), length: end + 1 };
      }
    }
    return null;
  }

  #angle() {
    const found = this.#match(/<([a-z]+:[^\s<>]{1,2000}|[\w.+-]{1,64}@[\w.-]{1,255})>/iy);
    if (!found) return false;
    const address = safeAddress(found[1].includes(":") ? found[1] : `mailto:${found[1]}`);
    return address !== null && this.#push(linkTo(address, found[1]), found[0].length);
  }

  #bareAddress() {
    if (/\w/.test(this.#text[this.#at - 1] ?? "")) return false;
    const found = this.#match(/https?:\/\/[^\s<>"'`\u3000-\u303f\uff00-\uffef]{1,2000}/y);
    if (!found) return false;
    const written = withoutEnd(found[0]);
    const address = safeAddress(written);
    return address !== null && this.#push(linkTo(address, written), written.length);
  }

  #entity() {
    const found = this.#match(/&(amp|lt|gt|quot|nbsp|#39);/y);
    const known = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\u00a0", "#39": "'" };
    return found !== null && this.#say(known[found[1]], found[0].length);
  }
}

function linkTo(address, shown) {
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, shown);
}

/** What ends a sentence belongs to no address, nor a bracket that was opened before it. */
function withoutEnd(address) {
  let end = address.length;
  let open = 0;
  for (const char of address) open += (char === "(") - (char === ")");
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    if (last === ")" && open < 0) open += 1;
    else if (!".,;:!?*_~]".includes(last)) break;
  }
  return address.slice(0, end);
}

// --- emphasis ---

/**
 * Whether a run may begin or end emphasis. Two stars may wherever no space stands inside them: in languages that put no
 * spaces between words, the rules about punctuation would leave much of it unread.
 */
function sides(char, count, before, after) {
  const [spaceBefore, spaceAfter] = [/\s/.test(before), /\s/.test(after)];
  if (char === "~" || (char === "*" && count >= 2)) return { canOpen: !spaceAfter, canClose: !spaceBefore };
  const [markBefore, markAfter] = [PUNCTUATION.test(before), PUNCTUATION.test(after)];
  const isLeft = !spaceAfter && (!markAfter || spaceBefore || markBefore);
  const isRight = !spaceBefore && (!markBefore || spaceAfter || markAfter);
  if (char === "*") return { canOpen: isLeft, canClose: isRight };
  return { canOpen: isLeft && (!isRight || markBefore), canClose: isRight && (!isLeft || markAfter) };
}

/** The nodes that tokens stand for. */
function nested(tokens) {
  pair(tokens.filter((token) => token.char));
  const root = document.createDocumentFragment();
  const open = [root];
  for (const token of tokens) {
    if (!token.char) {
      open.at(-1).append(token);
      continue;
    }
    for (let number = 0; number < token.closes.length; number += 1) open.pop();
    if (token.left) open.at(-1).append(token.char.repeat(token.left));
    for (const tag of token.opens.toReversed()) {
      const element = el(tag);
      open.at(-1).append(element);
      open.push(element);
    }
  }
  return root;
}

/** Find what belongs together: each end with the nearest beginning. */
function pair(runs) {
  const openers = [];
  const searched = new Map(); // below which nothing was found for such an end
  for (const run of runs) {
    while (run.canClose && run.left) {
      const kind = `${run.char}${run.canOpen}${run.count % 3}`;
      const found = nearest(openers, run, searched.get(kind) ?? 0);
      if (found < 0) {
        searched.set(kind, openers.length);
        break;
      }
      const opener = openers[found];
      openers.length = found + 1;
      const used = run.char === "~" || (run.left >= 2 && opener.left >= 2) ? 2 : 1;
      const tag = run.char === "~" ? "del" : ["em", "strong"][used - 1];
      opener.opens.push(tag);
      run.closes.push(tag);
      opener.left -= used;
      run.left -= used;
      if (!opener.left) openers.pop();
      for (const [key, bottom] of searched) searched.set(key, Math.min(bottom, openers.length));
    }
    if (run.canOpen && run.left) openers.push(run);
  }
}

function nearest(openers, run, bottom) {
  for (let at = openers.length - 1; at >= bottom; at -= 1) {
    const opener = openers[at];
    const clashes =
      (opener.canClose || run.canOpen) && (opener.count + run.count) % 3 === 0 && (opener.count % 3 || run.count % 3);
    if (opener.char === run.char && !clashes) return at;
  }
  return -1;
}
