// Where a message is written: words, and images by file, by paste and by drop.

import { isImage } from "./imported.js";
import { sendsOn } from "./keys.js";
import { showThumbnails } from "./thumbnails.js";

const TALLEST = 240; // pixels

/** What is being written. */
export class Composer {
  #form = document.getElementById("composer");
  #field = document.getElementById("message");
  #strip = document.getElementById("images");
  #sendButton = document.getElementById("send");
  #stopButton = document.getElementById("stop");
  #images = [];
  #isRunning = false;

  /**
   * @param {(text: string, images: string[]) => boolean} send whether it was sent
   * @param {() => void} stop
   * @param {(name: string) => void} refuse told of a file that is no image
   */
  constructor({ send, stop, refuse }) {
    this.send = send;
    this.refuse = refuse;
    this.#field.addEventListener("input", () => this.#changed());
    this.#field.addEventListener("keydown", (event) => sendsOn(event) && this.#submit(event));
    this.#field.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    // anywhere: a browser leaves the page for a file that is dropped beside
    document.addEventListener("dragover", (event) => event.dataTransfer.types.includes("Files") && event.preventDefault());
    document.addEventListener("drop", (event) => this.#take(event, event.dataTransfer));
    this.#stopButton.addEventListener("click", stop);
    const file = document.getElementById("attach-file");
    document.getElementById("attach").addEventListener("click", () => file.click());
    file.addEventListener("change", async () => {
      await this.#add([...file.files]);
      file.value = "";
    });
    this.#changed();
  }

  focus() {
    this.#field.focus();
  }

  /** Whether answers are being given: then there is something to stop, and nothing is sent. */
  set isRunning(isRunning) {
    this.#isRunning = isRunning;
    const hadFocus = [this.#stopButton, this.#sendButton].includes(document.activeElement);
    this.#stopButton.hidden = !isRunning;
    this.#sendButton.hidden = isRunning;
    if (hadFocus) this.focus();
    this.#changed();
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#field.value;
    if (this.#isRunning || (!text.trim() && !this.#images.length)) return;
    if (!this.send(text, this.#images)) return;
    this.#field.value = "";
    this.#images = [];
    this.#changed();
  }

  #take(event, given) {
    const files = [...given.files];
    if (!files.length) return;
    event.preventDefault();
    this.#add(files);
  }

  async #add(files) {
    for (const file of files) {
      const url = await addressOf(file);
      if (isImage(url)) this.#images = [...this.#images, url];
      else this.refuse(file.name);
    }
    this.#changed();
  }

  #changed() {
    this.#sendButton.disabled = !this.#field.value.trim() && !this.#images.length;
    this.#field.style.height = "auto";
    this.#field.style.height = `${Math.min(this.#field.scrollHeight, TALLEST)}px`;
    showThumbnails(this.#strip, this.#images, (images) => {
      this.#images = images;
      this.#changed();
      this.focus();
    });
  }
}

function addressOf(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
