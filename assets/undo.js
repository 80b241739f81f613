/* One pair of Undo and Redo: it takes back the last thing, a stroke or an edit. Strokes are the
   editor's, edits the server's; the page's two buttons stand for both. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $, stop } = varpaint;
  const LABELS = { undo: "Undo", redo: "Redo" };
  const strokes = (way) => {
    const button = $(`#canvas.filled button[aria-label="${LABELS[way]}"]`);
    return button && !button.disabled ? button : null;
  };
  const edits = (way) => $("#facts")?.dataset[way] === "1";
  const settling = () => varpaint.restoring || $("#easel")?.classList.contains("settling");

  /* Take a step back or forth: the latest stroke, else the latest edit. */
  varpaint.step = (way) => {
    const button = $(`#${way}`);
    if (button && !button.disabled) button.click();
  };
  window.addEventListener("click", (event) => {
    const button = event.target.closest?.("#undo, #redo");
    if (!button) return;
    const stroke = strokes(button.id);
    if (!stroke && !settling()) return; // an edit: the server's
    stop(event);
    if (!settling()) stroke.click();
    else requestAnimationFrame(() => button.click()); // once the canvas can tell whether it is a stroke
  }, true);

  varpaint.tickUndo = () => {
    for (const way of ["undo", "redo"]) {
      const button = $(`#${way}`);
      const none = !strokes(way) && !edits(way);
      if (button && button.disabled !== none) button.disabled = none;
    }
  };
})();
