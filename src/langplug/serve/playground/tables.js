// Two tables, `conversations` and `frames`, by key: in IndexedDB, which takes images too; or in memory.

const NAME = "langplug-playground";
const VERSION = 1;

/** The browser's own tables; where it gives none, tables that last as long as the page. */
export async function openTables() {
  try {
    return new Database(await opened());
  } catch {
    return new Memory();
  }
}

function opened() {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = () => {
    const conversations = request.result.createObjectStore("conversations");
    conversations.createIndex("listed", ["updated", "title"]); // a list without reading whole conversations
    request.result.createObjectStore("frames");
  };
  return settled(request);
}

class Database {
  #database;
  isKept = true;

  constructor(database) {
    this.#database = database;
  }

  get(table, key) {
    return settled(this.#store(table, "readonly").get(key));
  }

  put(table, key, value) {
    const store = this.#store(table, "readwrite");
    const request = store.put(value, key);
    store.transaction.commit(); // now: a page that goes away waits for nothing
    return settled(request);
  }

  remove(table, key) {
    return settled(this.#store(table, "readwrite").delete(key));
  }

  /** Ids and titles of conversations, newest first. */
  async list() {
    const request = this.#store("conversations", "readonly").index("listed").openKeyCursor(null, "prev");
    const found = [];
    for (let cursor = await settled(request); cursor; cursor = await settled(request)) {
      found.push({ id: cursor.primaryKey, title: cursor.key[1] });
      cursor.continue();
    }
    return found;
  }

  #store(name, mode) {
    return this.#database.transaction(name, mode).objectStore(name);
  }
}

class Memory {
  #tables = { conversations: new Map(), frames: new Map() };
  isKept = false;

  async get(table, key) {
    return structuredClone(this.#tables[table].get(key));
  }

  async put(table, key, value) {
    this.#tables[table].set(key, structuredClone(value));
  }

  async remove(table, key) {
    this.#tables[table].delete(key);
  }

  async list() {
    const all = [...this.#tables.conversations.values()].sort((one, other) => other.updated - one.updated);
    return all.map(({ id, title }) => ({ id, title }));
  }
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
