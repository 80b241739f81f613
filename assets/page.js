/* varpaint's page script: what the others share, the buttons that need no server, and the tick that
   looks after the canvas. Loaded first; each of the others adds its part to window.varpaint. */
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const varpaint = (window.varpaint = { $ });
  varpaint.typing = (node) =>
    node?.closest?.("input:not([type=radio]):not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");
  varpaint.hide = (element, hidden) => { // told once more what it is, an element is laid out once more
    if (element.hidden !== hidden) element.hidden = hidden;
  };
  varpaint.stop = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };

  // ---- buttons that need no server ----------------------------------------------------------
  varpaint.save = (file) => {
    const one = Array.isArray(file) ? file[0] : file;
    if (!one?.url) return file;
    const link = document.createElement("a");
    link.href = one.url;
    link.download = one.orig_name || one.path.split(/[\\/]/).pop();
    document.body.append(link);
    link.click();
    link.remove();
    return file;
  };
  let wanted = null; // the theme that the user chose; the system's if null
  varpaint.theme = () => {
    wanted = document.body.classList.contains("dark") ? "light" : "dark";
    try { localStorage.setItem("varpaint-theme", wanted); } catch { /* private window */ }
  };
  /* The examples over a picture, and what a small screen has no room for, are behind a button each. A
     press elsewhere, Escape and another shape of the window close them. They hang at the tools, which
     lie lower where something is said above them. */
  const HOMES = { files: "#head", mask: "#tools" };
  const FOLDS = ["#show-examples", "#more-files", "#more-mask"];
  const isOpen = (opener) => $(opener)?.getAttribute("aria-expanded") === "true";
  function fold(opener, open) {
    const button = $(opener), home = HOMES[opener.replace("#more-", "")];
    if (!button) return;
    button.setAttribute("aria-expanded", String(open));
    if (!home) document.body.classList.toggle("examples", open);
    else if (open) $(home).dataset.more = "open";
    else delete $(home).dataset.more;
    if (home === "#head") $("#columns").inert = open; // it lies over that; a press there closes it
  }
  document.addEventListener("click", (event) => {
    const tools = $("#tools");
    if (tools && !tools.dataset.more) {
      $("#stage").style.setProperty("--tools-top", `${tools.offsetTop}px`);
      $("#stage").style.setProperty("--tools-foot", `${tools.offsetTop + tools.offsetHeight}px`);
    }
    for (const opener of FOLDS) {
      const inside = opener !== "#show-examples" && event.target.closest?.("[role=option], #format");
      if (!(isOpen(opener) && inside)) fold(opener, Boolean(event.target.closest?.(opener)) && !isOpen(opener));
    }
  });
  window.addEventListener("keydown", (event) => {
    const open = FOLDS.filter(isOpen);
    if (event.key !== "Escape" || !open.length || $("dialog[open]")) return;
    varpaint.stop(event); // it cancels no run
    for (const opener of open) {
      fold(opener, false);
      $(opener).focus();
    }
  }, true);
  window.addEventListener("resize", () => FOLDS.filter(isOpen).forEach((opener) => fold(opener, false)));
  varpaint.help = () => $("#hotkeys")?.showModal();

  // ---- a class is for the tasks that need one ------------------------------------------------
  /* Leaving such a task by hand leaves the class behind, so that "extend" does not quietly become
     "extend with a bird"; on the way back it is there again. A task that the server sets, as of an
     opened project, comes with a class of its own. */
  const needsClass = (task) => task === "edit_class" || task === "generate";
  const chosen = { at: -Infinity, task: "inpaint", left: "" };
  window.addEventListener("click", (event) => {
    if (event.target.closest?.("#task")) chosen.at = performance.now();
  }, true);
  varpaint.taskChanged = (task, label, _, ...rest) => {
    const byHand = performance.now() - chosen.at < 1000, before = chosen.task;
    chosen.task = task;
    let taken = label;
    if (byHand && needsClass(before) && !needsClass(task)) {
      chosen.left = label;
      taken = "";
    } else if (byHand && needsClass(task) && !label) {
      taken = chosen.left;
    }
    // Unless it is to be set, what is chosen before the server answers stays.
    return [task, taken, taken !== label ? "set" : byHand ? "" : "quiet", ...rest];
  };

  // ---- often: overlays, and whether the canvas can be painted on ------------------------
  const names = ["undo", "redo", "mask-clear", "mask-invert", "mask-grow", "mask-shrink", "mask-last", "import-mask",
    "export-mask", "theme", "help", "show-examples", "show-crop",
    "more-files", "more-mask"];
  function title() {
    $("#status:not([role])")?.setAttribute("role", "status"); // what comes and goes in it is read out
    for (const id of names) {
      const button = $(`#${id}`);
      if (button && !button.title) button.title = button.textContent.trim();
    }
    for (const opener of FOLDS) if (!$(opener)?.hasAttribute("aria-expanded")) $(opener)?.setAttribute("aria-expanded", "false");
    $("#canvas .image-container:not([role])")?.setAttribute("role", "group"); // it has a name
    for (const item of document.querySelectorAll(".thumbnail-item")) { // by its caption, not "Thumbnail 1 of 2"
      const name = item.querySelector(".caption-label")?.textContent.trim() || item.querySelector("img")?.alt;
      if (name && item.getAttribute("aria-label") !== name) item.setAttribute("aria-label", name);
    }
  }
  /* Gradio's (6.31) note of an error is a button, with another in it: the one that closes it is enough. */
  function plain() {
    const head = $(".toast-header[role]");
    head?.removeAttribute("role");
    head?.removeAttribute("tabindex");
  }
  /* The history shows where one is. */
  let stood = null;
  function follow() {
    const here = $("#history .thumbnail-item.selected");
    if (here === stood) return;
    stood = here;
    const strip = here?.closest(".grid-container");
    if (strip) strip.scrollLeft = here.closest(".gallery-item").offsetLeft - strip.clientWidth / 2;
  }
  let ticks = 0;

  function tick() {
    try {
      look();
    } finally { // whatever goes wrong once, the canvas is looked after
      if (performance.now() < lively) requestAnimationFrame(tick);
      else setTimeout(tick, CALM);
    }
  }
  function look() {
    varpaint.tickEditor();
    varpaint.tickOpening();
    varpaint.draw();
    varpaint.tickSeen();
    varpaint.tickSharp();
    varpaint.tickMarks();
    varpaint.tickEdges();
    varpaint.tickZoom();
    varpaint.tickUndo();
    varpaint.tickRun();
    varpaint.tickTools();
    varpaint.tickCrop();
    varpaint.tickWrong();
    follow();
    plain();
    if (ticks++ % 60 === 0) title();
    if (wanted && document.body.classList.contains("dark") !== (wanted === "dark")) {
      document.body.classList.toggle("dark", wanted === "dark");
    }
  }
  const CALM = 60; // milliseconds between ticks while no hand moves; every frame costs a laptop
  let lively = 0;
  for (const name of ["pointerdown", "pointermove", "wheel", "keydown"]) {
    window.addEventListener(name, () => { lively = performance.now() + 500; }, { capture: true, passive: true });
  }
  const begin = () => {
    try { wanted = localStorage.getItem("varpaint-theme"); } catch { /* private window */ }
    requestAnimationFrame(tick);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
