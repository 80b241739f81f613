/* Lists to choose from: they open when they are pressed, close when something else is, and can be
   searched. Gradio's own (6.31) open at any key, also at the Tab that leaves them. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { stop } = varpaint;
  const isList = (node) => Boolean(node?.matches?.("input[role=combobox]"));
  const isOpen = (field) => field.getAttribute("aria-expanded") === "true";

  // ---- open and closed ----------------------------------------------------------------------
  const OPENS = 600; // milliseconds after a press in which the focus is the press's
  let pressed = null, at = -OPENS;

  function close(field) {
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  }
  window.addEventListener("pointerdown", (event) => {
    pressed = isList(event.target) ? event.target : null;
    at = performance.now();
    const here = document.activeElement;
    if (isList(event.target) && event.target === here && !isOpen(here)) { // closed, but it has the focus
      here.blur();
    } else if (isList(here) && isOpen(here) && event.target.closest?.("#easel")) {
      stop(event); // the press closes the list and paints nothing
      here.blur();
    }
  }, true);
  window.addEventListener("focusin", (event) => {
    if (!isList(event.target)) return;
    const byPress = pressed === event.target && performance.now() - at < OPENS;
    if (!byPress) setTimeout(() => close(event.target)); // Tab goes past it
  }, true);
  window.addEventListener("keydown", (event) => {
    if (!event.isTrusted || !isList(event.target)) return;
    const opens = event.key.length === 1 || ["ArrowDown", "ArrowUp", "Home", "End", "Enter", "Backspace", "Delete"].includes(event.key);
    const field = event.target;
    if (event.key === "Escape" || (opens && !event.ctrlKey && !event.metaKey)) return;
    event.stopImmediatePropagation(); // Tab, Shift and their like are no search
    if (event.key === "Tab" && isOpen(field)) close(field);
  }, true);

  /* Whether a class is chosen: the list's first entry is none. */
  const NONE = ["", "Choose a class …", "No class: follow the surroundings"]; // as in app/classes.py
  varpaint.labelled = () => !NONE.includes(document.querySelector("#label input")?.value ?? "");

  // ---- the search -----------------------------------------------------------------------------
  /* A list that can be searched: a click into it selects what is chosen, so that typing replaces it
     and does not look for "Choose a class …bird". */
  const TYPING = 3000; // milliseconds after a key; the list takes the focus and gives it back
  let typed = -TYPING;
  function replaceable(event) {
    const field = event.target;
    if (!field?.matches?.("input[role=combobox]:not([readonly])") || field !== document.activeElement) return;
    if (performance.now() - typed > TYPING && field.selectionStart === field.selectionEnd) field.select();
  }
  window.addEventListener("focusin", replaceable, true);
  window.addEventListener("mouseup", replaceable, true); // which takes the selection away
  window.addEventListener("input", (event) => {
    if (event.target?.matches?.("input[role=combobox]")) typed = performance.now();
  }, true);

  /* A list offers what holds the typed letters anywhere, "bowling" for "owl". What is called so, or
     begins so, comes first, and Enter takes it. With an arrow key the choice is the hand's own. */
  const NAME = /[^\p{L}\p{N}]+/u;
  function fit(option, text) { // 0 is best
    const name = option.getAttribute("aria-label").trim().toLowerCase();
    const bare = name.replace(/ \(.*/, "");
    if (bare === text) return 0;
    if (bare.startsWith(text)) return 1;
    return name.split(NAME).some((word) => word.startsWith(text)) ? 2 : 3;
  }
  let searched = null; // the field whose list is in the order of `fit`
  function order() { // and the best option; without a search every list is in its own order
    const every = [...document.querySelectorAll("[role=option]")];
    const text = searched?.value.trim().toLowerCase();
    const ours = text ? every.filter((option) => searched.closest(".block")?.contains(option)) : [];
    const places = new Map(ours.map((option) => [option, fit(option, text)]));
    const best = ours.find((option) => places.get(option) === Math.min(...places.values()));
    for (const option of every) {
      option.style.order = places.get(option) ?? "";
      option.classList.toggle("best", option === best);
    }
    return best;
  }
  window.addEventListener("input", (event) => {
    if (!event.target?.matches?.("input[role=combobox]")) return;
    searched = event.target;
    requestAnimationFrame(() => requestAnimationFrame(order)); // after the list has its options
  }, true);
  window.addEventListener("keydown", (event) => {
    if (!searched || event.target !== searched) return;
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !event.isComposing) {
      const best = order();
      if (best) {
        stop(event);
        best.dispatchEvent(new MouseEvent("mousedown", { bubbles: true, cancelable: true }));
        searched.blur();
        typed = -TYPING;
      }
    }
    if (["Enter", "ArrowDown", "ArrowUp", "Escape", "Tab"].includes(event.key)) {
      searched = null;
      order();
    }
  }, true);
  window.addEventListener("pointerdown", (event) => { // a press elsewhere ends the search
    if (!event.target?.matches?.("input[role=combobox]")) typed = -TYPING;
  }, true);
})();
