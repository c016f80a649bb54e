// An answer out of the frames of its stream. No I/O.

import { ApiError } from "./api.js";

/**
 * A new answer, about which nothing is known yet. Times are milliseconds since the request was sent.
 * @param {string} model
 * @param {object} parameters what was sent beside the messages
 * @param {string} system what the system said
 */
export function newAnswer(model, parameters, system) {
  return {
    role: "assistant",
    model,
    parameters,
    system,
    text: "",
    reasoning: "",
    refusal: "",
    calls: [],
    finish: null,
    usage: null,
    times: { first: null, last: null, end: null },
    state: "running",
    isWaiting: false, // for models that are still being loaded
    error: null,
    requestId: null,
    ignored: "",
  };
}

/**
 * Add what a frame tells.
 * @param {object} answer changed in place
 * @param {string} frame the data of one event
 * @param {number} now
 * @throws {ApiError} if the frame tells of an error, or is no chunk
 */
export function addFrame(answer, frame, now) {
  if (frame === "[DONE]") return;
  const chunk = parsed(frame, answer.requestId);
  if (chunk.error) throw new ApiError(chunk.error.message, { ...chunk.error, requestId: answer.requestId });
  if (chunk.usage) answer.usage = chunk.usage;
  const choice = chunk.choices?.[0];
  if (!choice) return;
  if (choice.finish_reason) answer.finish = choice.finish_reason;
  if (addDelta(answer, choice.delta ?? {})) {
    answer.times.first ??= now;
    answer.times.last = now;
  }
}

/** Whether the delta brought anything. */
function addDelta(answer, delta) {
  answer.text += delta.content ?? "";
  answer.reasoning += delta.reasoning_content ?? "";
  answer.refusal += delta.refusal ?? "";
  for (const piece of delta.tool_calls ?? []) {
    const call = (answer.calls[piece.index] ??= { id: "", name: "", arguments: "" });
    call.id ||= piece.id ?? "";
    call.name ||= piece.function?.name ?? "";
    call.arguments += piece.function?.arguments ?? "";
  }
  return Boolean(delta.content || delta.reasoning_content || delta.refusal || delta.tool_calls?.length);
}

function parsed(frame, requestId) {
  try {
    return JSON.parse(frame);
  } catch {
    throw new ApiError(frame.slice(0, 200), { code: "not_json", requestId });
  }
}
