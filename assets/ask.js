/* A question before something that is rarely meant: a mask of the whole picture, a photograph as a mask. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;

  /* Whether the answer is yes, once it is given; Escape is a no. `yes` is what its button says. */
  varpaint.ask = (words, yes) => new Promise((answer) => {
    const box = $("#ask");
    box.querySelector("p").textContent = words;
    box.querySelector(".main").textContent = yes;
    box.returnValue = "no";
    box.addEventListener("close", () => answer(box.returnValue === "yes"), { once: true });
    box.showModal();
  });

  /* Of nothing painted, the inverse is all of the picture. */
  let granted = false;
  window.addEventListener("click", (event) => {
    const button = event.target.closest?.("#mask-invert");
    if (!button || granted || !$("#canvas.filled") || varpaint.shapes.smallMask()) return;
    varpaint.stop(event);
    varpaint.ask("Nothing is painted, so this marks all of the picture.", "Mark all of it").then((yes) => {
      granted = yes;
      if (yes) button.click();
      granted = false;
    });
  }, true);
})();
