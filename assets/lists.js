/* Lists that can be searched. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { stop } = varpaint;

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
