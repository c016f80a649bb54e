// Conversations in this browser: IndexedDB, which takes images too; and files of them, written and read.

import { VERSION } from "./conversation.js";
import { readConversation } from "./imported.js";

const NAME = "langplug-playground";
export const FORMAT = "langplug-playground";

/** Open the database. */
export async function openStorage() {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = () => {
    const conversations = request.result.createObjectStore("conversations", { keyPath: "id" });
    conversations.createIndex("listed", ["updated", "title"]); // a list without reading whole conversations
    request.result.createObjectStore("frames");
  };
  return new Storage(await settled(request));
}

class Storage {
  #database;

  constructor(database) {
    this.#database = database;
  }

  /** Ids and titles, newest first. */
  async list() {
    const index = this.#database.transaction("conversations").objectStore("conversations").index("listed");
    const found = [];
    const request = index.openKeyCursor(null, "prev");
    for (let cursor = await settled(request); cursor; cursor = await settled(request)) {
      found.push({ id: cursor.primaryKey, title: cursor.key[1] });
      cursor.continue();
    }
    return found;
  }

  load(id) {
    return settled(this.#store("conversations", "readonly").get(id));
  }

  save(conversation) {
    return settled(this.#store("conversations").put(structuredClone(conversation)));
  }

  /** The frames of an answer, each with its time: `[[ms, data], ...]`. */
  async loadFrames(answerId) {
    return (await settled(this.#store("frames", "readonly").get(answerId))) ?? [];
  }

  saveFrames(answerId, frames) {
    return settled(this.#store("frames").put(frames, answerId));
  }

  /** Forget a conversation and the frames of its answers. */
  async remove(conversation) {
    await settled(this.#store("conversations").delete(conversation.id));
    for (const id of answerIds(conversation)) await settled(this.#store("frames").delete(id));
  }

  /** Everything, as the text of a file. There is no key in it: none is ever stored. */
  async exportAll() {
    const conversations = await settled(this.#store("conversations", "readonly").getAll());
    const frames = {};
    for (const id of conversations.flatMap(answerIds)) {
      const told = await this.loadFrames(id);
      if (told.length) frames[id] = told;
    }
    return JSON.stringify({ format: FORMAT, version: VERSION, conversations, frames });
  }

  /**
   * Add what such a file holds; a conversation that is here already is replaced.
   * @returns {Promise<number>} how many conversations there were
   * @throws {Error} if it is no such file
   */
  async importAll(text) {
    const file = JSON.parse(text);
    if (file?.format !== FORMAT || file.version !== VERSION || !Array.isArray(file.conversations)) {
      throw new Error(`format ${FORMAT}, version ${VERSION}`);
    }
    const conversations = file.conversations.map(readConversation);
    for (const conversation of conversations) {
      await this.save(conversation);
      for (const id of answerIds(conversation)) {
        const frames = file.frames?.[id];
        if (Array.isArray(frames)) await this.saveFrames(id, frames.map(([ms, data]) => [Number(ms), String(data)]));
      }
    }
    return conversations.length;
  }

  #store(name, mode = "readwrite") {
    return this.#database.transaction(name, mode).objectStore(name);
  }
}

function answerIds({ threads }) {
  const nodes = threads.flatMap((thread) => Object.values(thread.nodes));
  return nodes.filter((node) => node.role === "assistant").map((node) => node.id);
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
