// The blocks of a Markdown text, as plain data: paragraphs, headings, lists, quotes, code, tables, rules. No page.
// Every step is linear in the text, whatever a model writes; nothing is recognised as HTML.

const DEEPEST = 16; // blocks within blocks; what is nested deeper is plain text

/**
 * @param {string[]} lines
 * @returns {object[]} blocks; each says in `line` where it begins
 */
export function blocksOf(lines, depth = 0) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const found = depth < DEEPEST ? blockAt(lines, at, depth) : null;
    const [block, next] = found ?? paragraphAt(lines, at);
    blocks.push({ ...block, line: at });
    at = next;
  }
  return blocks;
}

function blockAt(lines, at, depth) {
  const line = lines[at];
  return (
    fenceAt(lines, at) ??
    formulaAt(lines, at) ??
    headingAt(line, at) ??
    (isRule(line) ? [{ kind: "rule" }, at + 1] : null) ??
    quoteAt(lines, at, depth) ??
    listAt(lines, at, depth) ??
    tableAt(lines, at) ??
    indentedCodeAt(lines, at)
  );
}

// --- code ---

const FENCE = /^( {0,3})(`{3,}|~{3,})([^`]*)$/;

function fenceAt(lines, at) {
  const opened = FENCE.exec(lines[at]);
  if (!opened) return null;
  const [, indent, fence, info] = opened;
  const said = [];
  let next = at + 1;
  for (; next < lines.length; next += 1) {
    if (closes(lines[next], fence)) break;
    said.push(withoutIndent(lines[next], indent.length));
  }
  const language = info.trim().split(/\s/, 1)[0];
  return [{ kind: "code", language, text: said.join("\n") }, Math.min(next + 1, lines.length)];
}

function closes(line, fence) {
  const text = line.trim();
  return indentOf(line) < 4 && text.length >= fence.length && text === fence[0].repeat(text.length);
}

const FORMULA_ENDS = new Map([["$$", "$$"], ["\\[", "\\]"]]);

/** A formula that stands alone is shown as it is written: its marks are no Markdown. */
function formulaAt(lines, at) {
  const close = FORMULA_ENDS.get(lines[at].trim());
  if (!close || indentOf(lines[at]) > 3) return null;
  let next = at + 1;
  while (next < lines.length && lines[next].trim() !== close) next += 1;
  return [{ kind: "code", language: "math", text: lines.slice(at + 1, next).join("\n") }, Math.min(next + 1, lines.length)];
}

function indentedCodeAt(lines, at) {
  if (indentOf(lines[at]) < 4) return null;
  let next = at;
  while (next < lines.length && (isBlank(lines[next]) || indentOf(lines[next]) >= 4)) next += 1;
  while (isBlank(lines[next - 1])) next -= 1;
  const text = lines.slice(at, next).map((line) => withoutIndent(line, 4));
  return [{ kind: "code", language: "", text: text.join("\n") }, next];
}

// --- headings and rules ---

function headingAt(line, at) {
  const marks = /^ {0,3}(#{1,6})(?=[ \t]|$)/.exec(line);
  if (!marks) return null;
  return [{ kind: "heading", level: marks[1].length, text: withoutClosingMarks(line.slice(marks[0].length)) }, at + 1];
}

function withoutClosingMarks(written) {
  const text = written.trim();
  let end = text.length;
  while (end && text[end - 1] === "#") end -= 1;
  return end === 0 || text[end - 1] === " " ? text.slice(0, end).trim() : text;
}

function isRule(line) {
  return indentOf(line) < 4 && /^\s*([-*_])[ \t]*(?:\1[ \t]*){2,}$/.test(line);
}

// --- quotes and lists ---

function quoteAt(lines, at, depth) {
  if (!isQuote(lines[at])) return null;
  const inner = [];
  let next = at;
  while (next < lines.length && (isQuote(lines[next]) || continuesParagraph(lines, next))) {
    inner.push(lines[next].replace(/^ {0,3}> ?/, ""));
    next += 1;
  }
  return [{ kind: "quote", blocks: blocksOf(inner, depth + 1) }, next];
}

function isQuote(line) {
  return /^ {0,3}>/.test(line);
}

/** Whether a line goes on with the paragraph before it although its container's mark is missing. */
function continuesParagraph(lines, at) {
  if (isBlank(lines[at]) || isBlank(lines[at - 1])) return false;
  return markerOf(lines[at]) === null && !interrupts(lines, at);
}

const MARKER = /^( *)([-+*]|\d{1,9}[.)])([ \t]+|$)/;

function markerOf(line) {
  const found = MARKER.exec(line);
  if (!found || isRule(line)) return null;
  const [whole, before, mark, after] = found;
  const isEmpty = whole.length === line.length;
  const width = isEmpty || after.length > 4 ? before.length + mark.length + 1 : whole.length;
  return { indent: before.length, width, kind: mark.at(-1), start: Number.parseInt(mark, 10), isEmpty };
}

function listAt(lines, at, depth) {
  const first = markerOf(lines[at]);
  if (!first || first.indent > 3) return null;
  const items = [];
  let next = at;
  let isLoose = false;
  while (next < lines.length) {
    const marker = markerOf(lines[next]);
    if (!marker || marker.kind !== first.kind || marker.indent > 3) break;
    const [inner, end] = itemAt(lines, next, marker);
    const blocks = blocksOf(inner, depth + 1);
    const following = skipBlank(lines, end);
    const goesOn = following < lines.length && markerOf(lines[following])?.kind === first.kind;
    isLoose ||= (goesOn && following > end) || isSpread(inner, blocks);
    items.push(blocks);
    next = goesOn ? following : end;
    if (!goesOn) break;
  }
  const isOrdered = !Number.isNaN(first.start);
  return [{ kind: "list", isOrdered, start: first.start, isLoose, items }, next];
}

/** An item's lines, without what marks them as its own; models indent by two where three are asked for. */
function itemAt(lines, at, { width }) {
  const inner = [lines[at].slice(width)];
  const least = Math.min(width, 2);
  let next = at + 1;
  while (next < lines.length) {
    const following = skipBlank(lines, next);
    if (following === lines.length) break;
    if (indentOf(lines[following]) < least && !continuesParagraph(lines, following)) break;
    for (; next <= following; next += 1) inner.push(withoutIndent(lines[next], width));
  }
  return [inner, next];
}

function isSpread(inner, blocks) {
  return blocks.slice(1).some((block) => isBlank(inner[block.line - 1]));
}

// --- tables ---

function tableAt(lines, at) {
  const aligns = alignsAt(lines, at);
  if (!aligns) return null;
  const rows = [];
  let next = at + 2;
  while (next < lines.length && !isBlank(lines[next]) && !interrupts(lines, next)) {
    const cells = cellsOf(lines[next]);
    rows.push(aligns.map((_, column) => cells[column] ?? ""));
    next += 1;
  }
  return [{ kind: "table", aligns, head: cellsOf(lines[at]), rows }, next];
}

function alignsAt(lines, at) {
  const [head, below] = [lines[at], lines[at + 1]];
  if (!head.includes("|") || below === undefined || !below.includes("-")) return null;
  const marks = cellsOf(below);
  if (!marks.every((mark) => /^:?-+:?$/.test(mark)) || marks.length !== cellsOf(head).length) return null;
  return marks.map((mark) => {
    if (mark.endsWith(":")) return mark.startsWith(":") ? "center" : "right";
    return "left";
  });
}

function cellsOf(line) {
  const cells = [""];
  for (const piece of line.trim().split(/(\\\||\|)/)) {
    if (piece === "|") cells.push("");
    else cells[cells.length - 1] += piece === "\\|" ? "|" : piece;
  }
  if (cells[0].trim() === "") cells.shift();
  if (cells.length && cells.at(-1).trim() === "") cells.pop();
  return cells.map((cell) => cell.trim());
}

// --- paragraphs ---

function paragraphAt(lines, at) {
  let next = at + 1;
  while (next < lines.length && !isBlank(lines[next])) {
    const under = /^ {0,3}(=+|-+)[ \t]*$/.exec(lines[next]);
    if (under) return [{ kind: "heading", level: under[1][0] === "=" ? 1 : 2, text: joined(lines, at, next) }, next + 1];
    if (interrupts(lines, next)) break;
    next += 1;
  }
  return [{ kind: "paragraph", text: joined(lines, at, next) }, next];
}

function joined(lines, from, to) {
  return lines
    .slice(from, to)
    .map((line) => line.trim())
    .join("\n");
}

/** Whether a line begins a block even right below a paragraph. */
function interrupts(lines, at) {
  const line = lines[at];
  const marker = markerOf(line);
  if (marker && !marker.isEmpty && marker.indent < 4) return Number.isNaN(marker.start) || marker.start === 1;
  if (FORMULA_ENDS.has(line.trim())) return true;
  return FENCE.test(line) || headingAt(line, at) !== null || isRule(line) || isQuote(line) || alignsAt(lines, at) !== null;
}

// --- lines ---

function isBlank(line) {
  return line.trim() === "";
}

function skipBlank(lines, at) {
  let next = at;
  while (next < lines.length && isBlank(lines[next])) next += 1;
  return next;
}

/** How far a line is indented; a tab goes to the next column of four. */
function indentOf(line) {
  return indentUpTo(line, Infinity).width;
}

function withoutIndent(line, most) {
  return line.slice(indentUpTo(line, most).length);
}

function indentUpTo(line, most) {
  let [length, width] = [0, 0];
  for (; width < most; length += 1) {
    if (line[length] === " ") width += 1;
    else if (line[length] === "\t") width += 4 - (width % 4);
    else break;
  }
  return { length, width };
}
