// Conversations in this browser, and files of them, written and read.

import { readConversation, readFrames } from "./imported.js";
import { openTables } from "./tables.js";

const FORMAT = "langplug-playground";
const VERSION = 1;

/** Open what this browser keeps. */
export async function openStorage() {
  return new Storage(await openTables());
}

class Storage {
  #tables;

  constructor(tables) {
    this.#tables = tables;
  }

  /** Whether it outlives the page. */
  get isKept() {
    return this.#tables.isKept;
  }

  /** Ids and titles, newest first. */
  list() {
    return this.#tables.list();
  }

  load(id) {
    return this.#tables.get("conversations", id);
  }

  save(conversation) {
    return this.#tables.put("conversations", conversation.id, conversation);
  }

  /** The frames of an answer, each with its time: `[[ms, data], ...]`. */
  async loadFrames(answerId) {
    return (await this.#tables.get("frames", answerId)) ?? [];
  }

  saveFrames(answerId, frames) {
    return this.#tables.put("frames", answerId, frames);
  }

  /** Forget a conversation and the frames of its answers. */
  async remove(conversation) {
    await this.#tables.remove("conversations", conversation.id);
    for (const id of answerIds(conversation)) await this.#tables.remove("frames", id);
  }

  /** Everything, as the text of a file. There is no key in it: none is ever stored. */
  async exportAll() {
    const conversations = [];
    const frames = {};
    for (const { id } of await this.list()) {
      const conversation = await this.load(id);
      conversations.push(conversation);
      for (const answerId of answerIds(conversation)) frames[answerId] = await this.loadFrames(answerId);
    }
    return JSON.stringify({ format: FORMAT, version: VERSION, conversations, frames });
  }

  /**
   * Add what such a file holds; a conversation that is here already is replaced.
   * @returns {Promise<string[]>} the ids of the conversations
   * @throws {Error} if it is no such file
   */
  async importAll(text) {
    const file = JSON.parse(text);
    if (file?.format !== FORMAT || file.version !== VERSION || !Array.isArray(file.conversations)) {
      throw new Error(`format ${FORMAT}, version ${VERSION}`);
    }
    const conversations = file.conversations.map(readConversation); // all, before one is kept
    for (const conversation of conversations) {
      await this.save(conversation);
      for (const id of answerIds(conversation)) await this.saveFrames(id, readFrames(file.frames?.[id]));
    }
    return conversations.map(({ id }) => id);
  }
}

function answerIds({ threads }) {
  const nodes = threads.flatMap((thread) => Object.values(thread.nodes));
  return nodes.filter((node) => node.role === "assistant").map((node) => node.id);
}
