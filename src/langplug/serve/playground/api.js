// Our own `/v1`, and nothing else: models, and streamed answers of Chat Completions. It knows no page.

import { EventReader } from "./sse.js";

/** The address of `/v1`: beside this folder, wherever the server is mounted. */
export const API = new URL("../v1", import.meta.url).href;
const MODELS = `${API}/models`;
const COMPLETIONS = `${API}/chat/completions`;

/** What a server answered in place of what was asked for; `kind` says what became of the connection, if it was that. */
export class ApiError extends Error {
  /** @param {{status?: number, type?: string, code?: string, requestId?: string, retryAfter?: number}} about */
  constructor(message, about = {}) {
    super(message);
    Object.assign(this, { status: 0, type: null, code: null, requestId: null, retryAfter: null }, about);
  }

  get isLoading() {
    return this.status === 503 && this.code === "loading";
  }
}

/**
 * The models that can be asked.
 * @returns {Promise<{id: string, capabilities: object}[]>}
 * @throws {ApiError}
 */
export async function listModels({ key, signal } = {}) {
  const response = await ask(MODELS, { headers: authorization(key), signal });
  return (await response.json()).data;
}

/**
 * A streamed answer.
 * @param {object} body of Chat Completions
 * @yields {{opened: {requestId: string, ignored: string}} | {frame: string}} the headers, then the data of each event
 * @throws {ApiError} if the server refuses, or the stream ends before it says so
 */
export async function* streamAnswer(body, { key, signal } = {}) {
  const headers = { "Content-Type": "application/json", ...authorization(key) };
  const response = await ask(COMPLETIONS, { method: "POST", headers, body: JSON.stringify(body), signal });
  const requestId = response.headers.get("x-request-id");
  yield { opened: { requestId, ignored: response.headers.get("x-langplug-ignored") ?? "" } };
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const events = new EventReader();
  try {
    for (;;) {
      const { done, value } = await readFrom(reader, requestId);
      if (done) throw new ApiError("", { code: "stream_cut", requestId });
      for (const frame of events.feed(value)) {
        yield { frame };
        if (frame === "[DONE]") return;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops listening stops the model
  }
}

/** Wait; an abort ends it as it ends a request. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new DOMException("", "AbortError"));
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    setTimeout(resolve, ms);
  });
}

async function readFrom(reader, requestId) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", { code: "stream_cut", requestId });
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", { code: "unreachable" });
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const told = (await response.json().catch(() => null))?.error ?? {};
  const wait = Number(response.headers.get("retry-after"));
  return new ApiError(told.message ?? response.statusText, {
    status: response.status,
    type: told.type ?? null,
    code: told.code ?? null,
    requestId: response.headers.get("x-request-id"),
    retryAfter: wait > 0 ? wait : null,
  });
}

function authorization(key) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}
