// The body of a request, out of a conversation and its settings. No page.

/** Settings that are numbers, with what the wire takes. */
export const NUMBERS = [
  { name: "temperature", min: 0, max: 2, step: 0.1 },
  { name: "top_p", min: 0, max: 1, step: 0.05 },
  { name: "max_tokens", min: 1, step: 1, whole: true },
  { name: "seed", step: 1, whole: true },
];

/** Settings as they are typed: what is empty is not sent. */
export const NO_SETTINGS = {
  system: "",
  temperature: "",
  top_p: "",
  max_tokens: "",
  seed: "",
  stop: "",
  reasoning_effort: "",
  schema: "",
  tools: "",
};

const MOST_STOPS = 4;

/**
 * What the settings ask beside the messages.
 * @returns {{parameters: object, problems: {name: string, key: string, values: object}[]}} problems by setting
 */
export function parametersOf(settings) {
  const parameters = {};
  const problems = [];
  const refuse = (name, key, values = {}) => problems.push({ name, key, values });
  for (const { name, min = -Infinity, max = Infinity, whole } of NUMBERS) {
    if (settings[name].trim() === "") continue;
    const value = Number(settings[name]);
    if (Number.isNaN(value) || value < min || value > max || (whole && !Number.isSafeInteger(value))) {
      refuse(name, whole ? `problem.whole.${min > 0 ? "positive" : "any"}` : "problem.number", { min, max });
    } else parameters[name] = value;
  }
  const stops = settings.stop.split("\n").filter(Boolean);
  if (stops.length > MOST_STOPS) refuse("stop", "problem.stops");
  else if (stops.length) parameters.stop = stops;
  if (settings.reasoning_effort.trim()) parameters.reasoning_effort = settings.reasoning_effort.trim();
  readJson(settings, "schema", isObject, "problem.schema", refuse, (schema) => {
    parameters.response_format = { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
  });
  readJson(settings, "tools", isListOfObjects, "problem.tools", refuse, (tools) => {
    if (tools.length) parameters.tools = tools;
  });
  return { parameters, problems };
}

/** The messages of some turns, oldest first. */
export function messagesOf(system, turns) {
  const messages = system.trim() ? [{ role: "system", content: system }] : [];
  turns.forEach((turn, number) => {
    const next = turns[number + 1];
    if (turn.role === "user") messages.push({ role: "user", content: contentOf(turn) });
    else if (turn.role === "tool") messages.push(...turn.results.map(resultMessage));
    else messages.push(...answerMessages(turn, next?.role === "tool"));
  });
  return messages;
}

/** The body that asks for a streamed answer. */
export function bodyOf(model, messages, parameters) {
  return { model, messages, ...parameters, stream: true, stream_options: { include_usage: true } };
}

function contentOf({ text, images }) {
  if (!images.length) return text;
  const parts = images.map((url) => ({ type: "image_url", image_url: { url } }));
  return text ? [{ type: "text", text }, ...parts] : parts;
}

function resultMessage({ id, text }) {
  return { role: "tool", tool_call_id: id, content: text };
}

/** Nothing for an answer that failed before it said anything; calls without results would be refused. */
function answerMessages({ text, reasoning, calls }, isFollowedByResults) {
  if (!isFollowedByResults) return text ? [{ role: "assistant", content: text }] : [];
  const tool_calls = calls.map((call) => ({
    id: call.id,
    type: "function",
    function: { name: call.name, arguments: call.arguments },
  }));
  const message = { role: "assistant", content: text || null, tool_calls };
  // some models want back what they thought before they called
  return [reasoning ? { ...message, reasoning_content: reasoning } : message];
}

function readJson(settings, name, isRight, key, refuse, take) {
  if (!settings[name].trim()) return;
  try {
    const value = JSON.parse(settings[name]);
    if (isRight(value)) take(value);
    else refuse(name, key);
  } catch (error) {
    refuse(name, "problem.json", { detail: error.message });
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isListOfObjects(value) {
  return Array.isArray(value) && value.every(isObject);
}
