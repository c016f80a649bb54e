// Draws what changes often: at most once a frame, and less often where drawing takes long.

const REST = 2; // so many times longer than it draws does a painter pause

export class Painter {
  #draw;
  #isDue = false;
  #cost = 0;
  #drawn = 0;

  /** @param {() => void} draw */
  constructor(draw) {
    this.#draw = draw;
  }

  /** Draw soon. */
  schedule() {
    if (this.#isDue) return;
    this.#isDue = true;
    const wait = this.#drawn + this.#cost * REST - performance.now();
    const onFrame = () => requestAnimationFrame(() => this.#isDue && this.flush());
    if (wait > 0) setTimeout(onFrame, wait);
    else onFrame();
  }

  /** Draw now. */
  flush() {
    this.#isDue = false;
    const begun = performance.now();
    this.#draw();
    this.#drawn = performance.now();
    this.#cost = this.#drawn - begun;
  }
}
