// What somebody does with conversations: ask, ask again, branch, stop. It knows the server and the storage, but no page.

import { addFrame, newAnswer } from "./answer.js";
import { pause, streamAnswer } from "./api.js";
import * as tree from "./conversation.js";
import { bodyOf, messagesOf, parametersOf } from "./request.js";

const SAVE_EVERY_MS = 2000;

/**
 * The open conversation, and the answers that are being given, in whichever conversation.
 *
 * Events: `turns` (others are shown), `progress` and `end` (of the answer in `detail`), `saved` (the list is another), `unsaved`
 * (the browser's words are the `detail`).
 */
export class Session extends EventTarget {
  #storage;
  #key;
  #runs = new Map(); // by the answer's id
  #saved = new Map(); // when each conversation was, by its id
  #otherTabs;

  /**
   * @param {object} storage
   * @param {() => string} key gives the server's key; empty if there is none
   */
  constructor(storage, key) {
    super();
    this.#storage = storage;
    this.#key = key;
    this.conversation = null;
    this.#otherTabs = storage.isKept ? new BroadcastChannel("langplug-playground") : null;
    this.#otherTabs?.addEventListener("message", ({ data }) => this.#follow(data));
  }

  /** Open a conversation; where answers are being given in it, as they are. */
  async open(id) {
    const running = this.#running().find((run) => run.conversation.id === id);
    const conversation = running?.conversation ?? (await this.#storage.load(id));
    if (conversation) this.show(conversation);
    return Boolean(conversation);
  }

  show(conversation) {
    for (const node of conversation.threads.flatMap((thread) => Object.values(thread.nodes))) {
      // nobody gives it any more: the page went away while it came, or it is the copy of one
      if (node.state === "running" && !this.#runs.has(node.id)) node.state = "stopped";
    }
    this.conversation = conversation;
    this.#tell("turns");
  }

  /** Another tab has asked something in a conversation: who goes on in it here goes on from there. */
  async #follow(id) {
    if (id === this.conversation.id && !this.isRunning) await this.open(id);
    this.#tell("saved");
  }

  get isRunning() {
    return this.#running().some((run) => run.conversation === this.conversation);
  }

  /** Ask each thread the same. */
  async send(text, images) {
    const asked = this.conversation.threads.map((thread) => {
      const turn = tree.addTurn(thread, tree.lastId(thread), { role: "user", text, images });
      return this.#ask(thread, turn);
    });
    await Promise.all(asked);
  }

  /** Ask something else in place of `node`, beside it. */
  edit(thread, node, text, images) {
    return this.#ask(thread, tree.addTurn(thread, node.parent, { role: "user", text, images }));
  }

  /** Another answer to the same. */
  regenerate(thread, node) {
    return this.#ask(thread, thread.nodes[node.parent]);
  }

  /** Go on with what the tools gave. */
  sendResults(thread, node, results) {
    return this.#ask(thread, tree.addTurn(thread, node.id, { role: "tool", results }));
  }

  showNeighbour(thread, node, step) {
    tree.showNeighbour(thread, node, step);
    this.#tell("turns");
    return this.save();
  }

  /** Stop one answer. */
  stop(answer) {
    this.#runs.get(answer.id)?.controller.abort();
  }

  /** Stop all that are being given in this conversation, or in a thread of it. */
  stopAll(thread = null) {
    for (const run of this.#running()) {
      if (run.conversation === this.conversation && (thread ?? run.thread) === run.thread) run.controller.abort();
    }
  }

  /** A second model beside the first, which knows what was said so far. */
  async compare(model) {
    const { thread, copies } = tree.copyThread(this.conversation.threads[0], model);
    for (const [from, to] of copies) await this.#storage.saveFrames(to, await this.framesOf({ id: from }));
    this.conversation.threads.push(thread);
    this.show(this.conversation);
    await this.save();
  }

  /** One model again. The other's conversation becomes one of its own. */
  async separate() {
    const { conversation } = this;
    const [thread] = conversation.threads.splice(1);
    this.stopAll(thread);
    const apart = { ...tree.newConversation(thread.model, conversation.settings), title: conversation.title };
    apart.threads = [thread];
    this.#tell("turns");
    await this.save();
    await this.save(apart);
  }

  /** The frames of an answer, each with its time. */
  async framesOf(answer) {
    return this.#runs.get(answer.id)?.frames ?? (await this.#storage.loadFrames(answer.id));
  }

  async save(conversation = this.conversation) {
    if (tree.isEmpty(conversation)) return;
    conversation.title ||= tree.titleOf(conversation);
    this.#saved.set(conversation.id, performance.now());
    await this.#keep(() => this.#storage.save(conversation));
  }

  /** Keep what has come so far of the answers that are being given. */
  async saveRunning() {
    for (const { conversation } of this.#running()) await this.save(conversation);
  }

  /** Forget a conversation for good. */
  async remove(id) {
    for (const run of this.#running()) if (run.conversation.id === id) run.isForgotten = true;
    for (const run of this.#running()) if (run.isForgotten) run.controller.abort();
    const conversation = await this.#storage.load(id);
    if (conversation) await this.#storage.remove(conversation);
    this.#tell("saved");
  }

  /** What the browser refuses to keep, for want of room, is said; the page goes on. */
  async #keep(write) {
    try {
      await write();
      this.#tell("saved");
    } catch (error) {
      this.#tell("unsaved", error.message);
    }
  }

  #running() {
    return [...this.#runs.values()];
  }

  #tell(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  async #ask(thread, turn) {
    const { conversation } = this;
    const { parameters } = parametersOf(conversation.settings);
    const { system } = conversation.settings;
    const messages = messagesOf(system, [...tree.turnsBefore(thread, turn), turn]);
    const answer = tree.addTurn(thread, turn.id, newAnswer(thread.model, parameters, system));
    const run = { conversation, thread, controller: new AbortController(), frames: [], isForgotten: false };
    this.#runs.set(answer.id, run);
    conversation.updated = Date.now();
    this.#tell("turns");
    await this.save();
    this.#otherTabs?.postMessage(conversation.id);
    try {
      await this.#read(answer, bodyOf(thread.model, messages, parameters), run);
      answer.state = "done";
    } catch (error) {
      if (error.name === "AbortError") answer.state = "stopped";
      else Object.assign(answer, { state: "failed", error: errorAsData(error) });
    }
    if (!run.isForgotten) {
      await this.#keep(() => this.#storage.saveFrames(answer.id, run.frames));
      await this.save(conversation);
      this.#otherTabs?.postMessage(conversation.id);
    }
    this.#runs.delete(answer.id);
    this.#tell("end", answer);
  }

  /** Read an answer to its end; while the models are being loaded, ask again and again. */
  async #read(answer, body, { conversation, controller, frames }) {
    const { signal } = controller;
    for (;;) {
      const begun = performance.now();
      try {
        for await (const piece of streamAnswer(body, { key: this.#key(), signal })) {
          const now = performance.now() - begun;
          if (piece.opened) Object.assign(answer, piece.opened, { isWaiting: false });
          else {
            frames.push([Math.round(now * 10) / 10, piece.frame]);
            addFrame(answer, piece.frame, now);
            answer.times.end = now;
          }
          this.#tell("progress", answer);
          if (performance.now() - this.#saved.get(conversation.id) > SAVE_EVERY_MS) this.save(conversation);
        }
        return;
      } catch (error) {
        answer.times.end = performance.now() - begun; // what ends it otherwise takes its time, too
        answer.isWaiting = Boolean(error.isLoading);
        if (!error.isLoading) throw error;
        this.#tell("progress", answer);
        await pause((error.retryAfter ?? 1) * 1000, signal);
      }
    }
  }
}

function errorAsData({ message, status = 0, type = null, code = null, requestId = null }) {
  return { message, status, type, code, requestId };
}
