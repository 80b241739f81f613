/* The keys. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $, stop, typing } = varpaint;

  // ---- keys ---------------------------------------------------------------------------------
  const tool = (label) => $(`#canvas button[aria-label="${label}"]`);
  const press = (selector) => {
    const button = $(selector);
    if (button && !button.disabled) button.click();
    return Boolean(button && !button.disabled);
  };

  /* Space pans while it is held, then the tool before it comes back. */
  function pan(on) {
    if (on === Boolean(varpaint.panning)) return;
    varpaint.panning = on;
    $("#easel")?.classList.toggle("panning", on);
    varpaint.applyTool();
  }

  /* A button that a hand pressed does not keep the focus: Space is for panning then. */
  window.addEventListener("pointerup", () => setTimeout(() => {
    const button = document.activeElement?.closest?.("#columns button");
    button?.blur();
  }), true);

  const plain = {
    b: () => varpaint.choose("brush"),
    e: () => varpaint.choose("eraser"),
    r: () => varpaint.choose("rectangle"),
    l: () => varpaint.choose("lasso"),
    w: () => varpaint.choose("object"),
    o: () => varpaint.choose("original"),
    h: () => varpaint.choose("pan"),
    f: () => varpaint.toggleFrames(),
    "[": () => varpaint.resizeBrush(1 / 1.25),
    "]": () => varpaint.resizeBrush(1.25),
    g: () => press("#mask-grow"),
    s: () => press("#mask-shrink"),
    x: () => press("#mask-clear"),
    i: () => press("#mask-invert"),
    u: () => press("#use-result"),
    0: () => varpaint.fitPicture(),
    " ": () => pan(true),
    c: () => $("#compare")?.classList.add("before"),
    "?": () => varpaint.help(),
  };

  window.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "c") $("#compare")?.classList.remove("before");
    if (event.key === " ") pan(false);
  }, true);
  window.addEventListener("blur", () => { // a key that is let go elsewhere says nothing
    $("#compare")?.classList.remove("before");
    pan(false);
  });
  window.addEventListener("keydown", (event) => {
    if ($("dialog[open]")) return;
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (control && key === "enter") {
      stop(event);
      event.target.blur?.();
      press("#run");
    } else if (key === "escape" && !typing(event.target)) {
      if (!varpaint.dropGesture()) press("#cancel");
    } else if (typing(event.target)) {
      return;
    } else if (control && key === "z") {
      stop(event);
      const stroke = tool(event.shiftKey ? "Redo" : "Undo");
      if (stroke && !stroke.disabled) stroke.click();
      else press(event.shiftKey ? "#redo" : "#undo");
    } else if (control && key === "y") {
      stop(event);
      press("#redo");
    } else if (control && key === "s") {
      stop(event);
      press("#download");
    } else if (!control && !event.altKey && /^[1-9]$/.test(key)) {
      document.querySelectorAll("#results .thumbnail-item")[Number(key) - 1]?.click();
    } else if (!control && !event.altKey && key === "enter" && !event.target.closest?.("button, a, [role=option]")) {
      press("#run");
    } else if (key === " " && event.target.closest?.("button, a, [role=button], input:not([type=range]):not([type=radio])")) {
      return;
    } else if (!control && !event.altKey && plain[event.key === "?" ? "?" : key]) {
      stop(event);
      plain[event.key === "?" ? "?" : key]();
    }
  }, true);
})();
