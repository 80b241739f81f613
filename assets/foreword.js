/* Runs before Gradio's own scripts (foreword.py). Gradio (6.31) counts the seconds that a page takes to
   load, at every frame, and goes on unseen for as long as the page is open; so what only counts seconds
   is asked once a second, and a page at rest draws no frame. */
(() => {
  "use strict";
  const CLOCK = /\(performance\.now\(\)-[^;]{0,40}\)\/1e3/, SECOND = 1000; // (now - then) / 1000
  const frame = window.requestAnimationFrame;
  window.requestAnimationFrame = (act) => (CLOCK.test(act) ? setTimeout(act, SECOND) : frame(act));
})();
