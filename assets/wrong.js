/* The field that an error is about: brought into sight, marked for the eye and for screen readers, until
   it is changed or the next run begins. The status line's error says its name (`data-field`) and the
   folds that it lies in (`data-folds`, the outer one first). */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const SETTLED = 500; // milliseconds; to a field that a fold has brought, its value comes a moment later
  const typed = (field) => field.querySelector("input:not([type=range]), textarea, input");
  const valueOf = (field) => [...field.querySelectorAll("input, textarea")].map((one) => (one.type === "radio" ? one.checked : one.value)).join();
  let known = "", wrong = null; // {name, folds, words, since, value}

  function lift() {
    wrong = null;
    $("#wrong-why")?.remove();
    for (const field of document.querySelectorAll(".wrong")) field.classList.remove("wrong");
    for (const input of document.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }
  function mark(field) {
    field.classList.add("wrong");
    const why = document.createElement("span");
    why.id = "wrong-why";
    why.textContent = wrong.words;
    document.body.append(why);
    const input = typed(field);
    for (const each of field.querySelectorAll("input, textarea")) each.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-describedby", why.id);
    input?.focus({ preventScroll: true });
    field.scrollIntoView({ block: "center" });
    wrong.since = performance.now();
    if (!wrong.folds.length) wrong.value = valueOf(field);
  }
  /* Whether it is open; one that is not is asked to, and its fields come with one of the next frames. */
  function open(fold) {
    const button = $(`#${fold} > button`);
    if (button && !button.classList.contains("open")) button.click();
    return Boolean(button?.classList.contains("open"));
  }
  varpaint.tickWrong = () => {
    const line = $("#status .line");
    if (line?.dataset.id && line.dataset.id !== known) {
      lift();
      known = line.dataset.id;
      const { field: name, folds } = line.dataset;
      if (name) wrong = { name, folds: folds ? folds.split(" ") : [], words: line.innerText };
    } else if (wrong && line?.classList.contains("busy")) {
      lift();
    }
    if (!wrong) return;
    const field = $(`#${wrong.name}`);
    if (wrong.since === undefined) {
      if (wrong.folds.every(open) && field?.offsetParent) mark(field);
    } else if (!field) {
      return; // its task or its fold is not shown now
    } else if (wrong.value === undefined) {
      if (performance.now() - wrong.since > SETTLED) wrong.value = valueOf(field);
    } else if (valueOf(field) !== wrong.value) {
      lift(); // the server may change it, too
    }
  };
  window.addEventListener("input", (event) => {
    if (event.isTrusted && event.target.closest?.(".wrong")) lift();
  }, true);
  window.addEventListener("click", (event) => {
    if (event.target.closest?.("#run, #more")) lift();
  }, true);
})();
