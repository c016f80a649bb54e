// A request as code of other clients. The key is never in it.

const VARIABLE = "API_KEY";
const END = "END"; // of what a shell is given as it stands; no line of JSON is like it

/** What a request can be copied as, each with a function of the server's address, the body and whether a key is asked for. */
export const WRITERS = {
  curl: { name: "curl", language: "sh", write: asCurl },
  openai: { name: "OpenAI SDK", language: "python", write: asOpenAI },
  langchain: { name: "ChatOpenAI", language: "python", write: asChatOpenAI },
  langplug: { name: "ChatEndpoint", language: "python", write: asChatEndpoint },
};

function asCurl(base, body, needsKey) {
  const lines = [`curl -N '${base}/chat/completions'`, "-H 'Content-Type: application/json'"];
  if (needsKey) lines.push(`-H "Authorization: Bearer $${VARIABLE}"`);
  // from stdin: an argument may hold 128 KiB, less than an image has
  lines.push(`--data-binary @- <<'${END}'\n${JSON.stringify(body, null, 2)}\n${END}`);
  return `${lines.join(" \\\n  ")}\n`;
}

function asOpenAI(base, body, needsKey) {
  return `${needsKey ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${python(base)}, api_key=${keyIn(needsKey)})
stream = client.chat.completions.create(
${argumentsIn(body)})
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
`;
}

function asChatOpenAI(base, body, needsKey) {
  const { messages, tools, response_format, stream, stream_options, ...fields } = body;
  return `${needsKey ? "import os\n\n" : ""}from langchain_openai import ChatOpenAI

model = ChatOpenAI(
${argumentsIn({ base_url: base })}    api_key=${keyIn(needsKey)},
${argumentsIn(fields)})
${bound("tools", tools)}${bound("response_format", response_format)}${asked(messages)}`;
}

function asChatEndpoint(base, body, needsKey) {
  const { messages, tools, response_format, stop, stream, stream_options, ...fields } = body;
  const schema = response_format?.json_schema.schema;
  const extra = schema ? { extra_body: { response_format } } : {};
  return `${needsKey ? "import os\n\n" : ""}from langplug.models import ChatEndpoint

model = ChatEndpoint(
${argumentsIn({ base_url: base, ...fields, ...extra })}${needsKey ? `    api_key=${keyIn(true)},\n` : ""})
${bound("tools", tools)}${bound("stop", stop)}${asked(messages)}`;
}

function bound(name, value) {
  if (value === undefined) return "";
  return name === "tools"
    ? `model = model.bind_tools(${python(value)})\n`
    : `model = model.bind(${name}=${python(value)})\n`;
}

function asked(messages) {
  return `messages = ${python(messages)}
for chunk in model.stream(messages):
    print(chunk.text, end="", flush=True)
`;
}

function keyIn(needsKey) {
  return needsKey ? `os.environ[${python(VARIABLE)}]` : '"none"';
}

function argumentsIn(fields) {
  const written = Object.entries(fields).map(([name, value]) => `    ${name}=${python(value, "    ")},\n`);
  return written.join("");
}

/** A JSON value as Python writes it. What JSON escapes in strings, Python reads alike. */
export function python(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const isList = Array.isArray(value);
  const inner = `${indent}    `;
  const items = isList
    ? value.map((item) => python(item, inner))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  return items.length ? `${open}\n${items.map((item) => `${inner}${item},\n`).join("")}${indent}${close}` : open + close;
}
