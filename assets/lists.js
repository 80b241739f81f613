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
  const NONE = ["", "No class"]; // as in app/classes.py
  varpaint.labelled = () => !NONE.includes(document.querySelector("#label input")?.value ?? "");

  // ---- the search -----------------------------------------------------------------------------
  /* A list that can be searched: a click into it selects what is chosen, so that typing replaces it
     and does not look for "No classbird". */
  const LISTED = 5000; // milliseconds in which a list has what is looked for
  const TYPING = 3000; // milliseconds after a key; the list takes the focus and gives it back
  const soon = (act) => requestAnimationFrame(() => requestAnimationFrame(act));
  let typed = -TYPING;
  function replaceable(field) {
    if (!field?.matches?.("input[role=combobox]:not([readonly])") || field !== document.activeElement) return;
    if (performance.now() - typed > TYPING && field.selectionStart === field.selectionEnd) field.select();
  }
  window.addEventListener("focusin", (event) => replaceable(event.target), true);
  window.addEventListener("mouseup", (event) => { // which takes the selection away
    replaceable(event.target);
    soon(() => replaceable(event.target)); // as does what the list wrote when it lost the focus
  }, true);
  window.addEventListener("input", (event) => {
    if (event.target?.matches?.("input[role=combobox]")) typed = performance.now();
  }, true);

  /* A list offers what holds the typed letters anywhere, "bowling" for "owl". What is called so, has
     a word of it or begins so, comes first, and Enter takes it. With an arrow key the choice is the hand's own. */
  const NAME = /[^\p{L}\p{N}]+/u;
  function fit(option, text) { // 0 is best
    const name = option.getAttribute("aria-label").trim().toLowerCase();
    const bare = name.replace(/ \(.*/, "");
    if (bare === text) return 0;
    const words = name.split(NAME);
    if (words.includes(text)) return 1;
    if (bare.startsWith(text)) return 2;
    return words.some((word) => word.startsWith(text)) ? 3 : 4;
  }
  let searched = null; // the field whose list is in the order of `fit`
  function order() { // and the best option; without a search every list is in its own order
    const every = [...document.querySelectorAll("[role=option]")];
    const text = searched?.value.trim().toLowerCase();
    const holds = (option) => option.getAttribute("aria-label").toLowerCase().includes(text);
    const ours = text ? every.filter((option) => searched.closest(".block")?.contains(option) && holds(option)) : [];
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
    soon(() => { // the list has its options
      order();
      tellNear();
    });
  }, true);

  // ---- nothing found ----------------------------------------------------------------------------
  const known = new WeakMap(); // every name that a list has, with what else it is called, by its field
  const namesIn = (field) => [...(field.closest(".block")?.querySelectorAll("[role=option]") ?? [])]
    .map((option) => option.getAttribute("aria-label").trim());
  window.addEventListener("focusin", (event) => {
    const field = event.target;
    if (!field?.matches?.("input[role=combobox]:not([readonly])")) return;
    soon(() => {
      const names = namesIn(field);
      if (names.length && performance.now() - typed > TYPING) known.set(field, names);
    });
  }, true);
  function apart(one, other) { // letters to change, add or take away (Levenshtein)
    let row = [...Array(other.length + 1).keys()];
    for (let i = 1; i <= one.length; i++) {
      const next = [i];
      for (let j = 1; j <= other.length; j++) {
        next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] !== other[j - 1]));
      }
      row = next;
    }
    return row.at(-1);
  }
  function nearest(text, names) {
    const far = (name) => Math.min(...[name, ...name.split(NAME)].filter(Boolean).map((word) => apart(text, word.toLowerCase())));
    const scored = names.map((name) => [far(name), name]).filter(([by]) => by <= Math.max(1, Math.floor(text.length / 2)));
    return scored.sort((a, b) => a[0] - b[0]).slice(0, 3).map(([, name]) => name);
  }
  function tellNear() {
    document.querySelector(".near")?.remove();
    const field = searched, text = field?.value.trim().toLowerCase();
    const every = text ? known.get(field) ?? namesIn(field) : []; // what it lists may be of the text before
    if (!text || field !== document.activeElement || every.some((name) => name.toLowerCase().includes(text))) return;
    const names = nearest(text, every.map((name) => name.replace(/ \(.*/, "")));
    const says = document.createElement("p");
    says.className = "near";
    says.setAttribute("role", "status");
    says.append(names.length ? "Nothing found. Near: " : "Nothing found.");
    for (const name of names) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      says.append(button);
    }
    field.closest(".block").append(says);
  }
  window.addEventListener("pointerdown", (event) => {
    const button = event.target.closest?.(".near button"), field = searched;
    if (!button || !field) return;
    stop(event); // the list keeps the focus
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, button.textContent);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    const until = performance.now() + LISTED;
    (function choose() { // once the list has it: on a busy machine it takes its time
      const best = searched === field && order();
      if (searched === field && !best && performance.now() < until) return requestAnimationFrame(choose);
      best?.dispatchEvent?.(new MouseEvent("mousedown", { bubbles: true, cancelable: true }));
      field.blur();
      searched = null;
    })();
  }, true);
  window.addEventListener("focusout", () => setTimeout(() => {
    if (!document.activeElement?.matches?.("input[role=combobox]")) document.querySelector(".near")?.remove();
  }), true);
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
