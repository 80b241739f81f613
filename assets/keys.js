/* The keys. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $, stop, typing } = varpaint;

  // ---- keys ---------------------------------------------------------------------------------
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

  /* A key by what it writes; where that is no Latin letter, sign or digit, as with a Russian layout,
     by its place on the keyboard. */
  const PLACES = { BracketLeft: "[", BracketRight: "]", Slash: "/", Minus: "-", Equal: "=" };
  function keyOf(event) {
    const written = event.key.toLowerCase();
    if (written.length > 1 || /[\x20-\x7e]/.test(written)) return written;
    const [, name] = /^(?:Key|Digit)(.)$/.exec(event.code) ?? [];
    return name?.toLowerCase() ?? PLACES[event.code] ?? written;
  }
  /* AltGr writes signs, such as [ on a German keyboard; some systems say that Ctrl and Alt are down. */
  const writes = (event) => event.getModifierState?.("AltGraph") || (event.ctrlKey && event.altKey && event.key.length === 1);

  const plain = {
    b: () => varpaint.choose("brush"),
    e: () => varpaint.choose("eraser"),
    r: () => varpaint.choose("rectangle"),
    l: () => varpaint.choose("lasso"),
    w: () => varpaint.choose("object"),
    o: () => varpaint.choose("original"),
    h: () => varpaint.choose("pan"),
    f: () => varpaint.toggleFrames(),
    t: () => varpaint.crop(),
    "[": () => varpaint.resizeBrush(1 / 1.25),
    "]": () => varpaint.resizeBrush(1.25),
    g: () => press("#mask-grow"),
    s: () => press("#mask-shrink"),
    x: () => press("#mask-clear"),
    i: () => press("#mask-invert"),
    u: () => press("#use-result"),
    0: () => varpaint.fitPicture(),
    " ": () => pan(true),
    c: () => varpaint.holdBefore(true),
    "?": () => varpaint.help(),
  };
  const MOVED = "input[type=range], input[type=radio], [role=slider], [role=toolbar], dialog"; // by arrow keys

  window.addEventListener("keyup", (event) => {
    if (keyOf(event) === "c") varpaint.holdBefore(false);
    if (event.key === " ") pan(false);
  }, true);
  window.addEventListener("blur", () => { // a key that is let go elsewhere says nothing
    varpaint.holdBefore(false);
    pan(false);
  });
  window.addEventListener("keydown", (event) => {
    if ($("dialog[open]")) return;
    const sign = writes(event);
    const control = (event.ctrlKey || event.metaKey) && !sign, alt = event.altKey && !sign;
    const key = keyOf(event);
    if (control && key === "enter") {
      stop(event);
      event.target.blur?.();
      press("#run");
    } else if (key === "escape" && !typing(event.target)) {
      if (!varpaint.dropGesture()) press("#cancel");
    } else if (typing(event.target)) {
      return;
    } else if (control && (key === "z" || key === "y")) {
      stop(event);
      varpaint.step(key === "y" || event.shiftKey ? "redo" : "undo");
    } else if (control && key === "s") {
      stop(event);
      press("#download");
    } else if (!control && !alt && /^[1-9]$/.test(key)) {
      document.querySelectorAll("#results .thumbnail-item")[Number(key) - 1]?.click();
    } else if (!control && !alt && (key === "arrowleft" || key === "arrowright") && !event.target.closest?.(MOVED)) {
      if (varpaint.flip(key === "arrowleft" ? -1 : 1)) stop(event);
    } else if (!control && !alt && key === "enter" && !event.target.closest?.("button, a, [role=option]")) {
      press("#run");
    } else if (key === " " && event.target.closest?.("button, a, [role=button], input:not([type=range]):not([type=radio])")) {
      return;
    } else if (!control && !alt && plain[key]) {
      stop(event);
      plain[key]();
    }
  }, true);
})();
