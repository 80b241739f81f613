/* varpaint's page script: opening pictures, hotkeys, downloads, and what is drawn over the canvas.

   Pictures reach the server as the files they are: drops, pastes and the canvas's own file chooser
   are sent through the Open button, so that the original's bytes arrive and not a browser's copy.
   Gradio leaves its editor at window.editor (6.31); what needs it is skipped where it is not. */
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const varpaint = (window.varpaint = {});
  const typing = (node) =>
    node?.closest?.("input:not([type=radio]):not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");

  // ---- pictures in --------------------------------------------------------------------------
  const isPicture = (file) => file && (file.type.startsWith("image/") || /\.varpaint$/i.test(file.name));

  function open(file, button = "#open") {
    const input = inputOf(button);
    if (!input) return;
    const bag = new DataTransfer();
    bag.items.add(file);
    input.files = bag.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function inputOf(button) {
    const here = $(button);
    return here?.querySelector("input[type=file]") || here?.previousElementSibling?.closest("input[type=file]")
      || here?.parentElement?.querySelector(":scope > input[type=file]");
  }

  function stop(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  window.addEventListener("change", (event) => {
    const input = event.target;
    if (input?.type === "file" && input.closest("#canvas") && input.files?.length) {
      const file = input.files[0];
      event.stopImmediatePropagation();
      open(file);
      input.value = "";
    }
  }, true);
  /* Over a picture there are two places to drop: as the picture, or as its mask (also with Shift). */
  const asMask = (event) => {
    const zone = event.target?.closest?.("#drop [data-as]") ?? null;
    return Boolean($("#canvas.filled")) && (event.shiftKey || zone?.dataset.as === "mask");
  };
  function dropping(on) {
    document.body.classList.toggle("dropping", on);
    const easel = $("#easel");
    if (on && easel && !$("#drop")) {
      const zones = document.createElement("div");
      zones.id = "drop";
      zones.innerHTML = '<b data-as="picture">Drop to open</b><b data-as="mask">Drop as the mask</b>';
      easel.append(zones);
    }
  }
  window.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    dropping(true);
    const mask = asMask(event);
    document.querySelectorAll("#drop b").forEach((zone) => zone.classList.toggle("on", (zone.dataset.as === "mask") === mask));
  }, true);
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) dropping(false);
  }, true);
  window.addEventListener("drop", (event) => {
    const files = [...(event.dataTransfer?.files ?? [])];
    const button = asMask(event) ? "#import-mask" : "#open";
    dropping(false);
    if (!files.length) return;
    stop(event); // or the browser leaves the page for the file
    open(files.find(isPicture) ?? files[0], button); // the server says what it cannot open
  }, true);
  window.addEventListener("paste", (event) => {
    const data = event.clipboardData;
    const file = [...(data?.files ?? [])].find(isPicture);
    const text = data?.types.includes("text/plain") && typing(event.target); // as of a spreadsheet's cells
    if (!file || text) return;
    stop(event);
    open(file);
  }, true);

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
    return [task, taken, taken === label ? "" : "set", ...rest];
  };

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

  // ---- when the canvas can be painted on ----------------------------------------------------
  /* Given a new value, the editor loads the picture and its layers up to twice, and what is painted
     in between is lost. So until a version of the canvas is ready, each is loaded once. */
  const loads = { pictures: 0, layers: 0, under: 0, last: 0, once: new Map() };
  const counted = { add_image_from_url: "pictures", add_layers_from_url: "layers" };
  /* A layer that comes before the editor took on the picture's size is put in the wrong place; and
     one of a blank canvas that the editor left in its container keeps it from taking that on. */
  async function fitting(editor) {
    const size = $("#canvas")?.className.match(/size-(\d+)x(\d+)/);
    const container = editor.image_container, manager = editor.layer_manager;
    for (let tries = 0; size && tries < 300; tries++) {
      const known = new Set(manager?.layers?.map((layer) => layer.container));
      for (const child of [...(container?.children ?? [])]) {
        if (manager?.background_layer && child !== manager.background_layer && !known.has(child)) {
          container.removeChild(child);
        }
      }
      const bounds = container?.getLocalBounds();
      if (bounds && Math.abs(bounds.width - size[1]) < 1 && Math.abs(bounds.height - size[2]) < 1) return;
      await new Promise((done) => setTimeout(done, 16));
    }
  }
  /* At every change of the page, many times a run, Gradio asks the editor for its value: pictures
     that are drawn and packed, or while nothing is painted fetched from the server, and sent to it.
     Nobody reads them; what is painted goes its own way. */
  const nothing = async () => ({ background: null, layers: [], composite: null });
  const given = new Set(); // where the editor's pictures came from; it draws them by another way
  const fetched = window.fetch;
  window.fetch = function (what, ...options) {
    if (given.has(what)) return Promise.reject(new TypeError("nobody reads the canvas's value"));
    return fetched.call(this, what, ...options);
  };
  let editor_ = window.editor;
  Object.defineProperty(window, "editor", {
    configurable: true,
    get: () => editor_,
    set(editor) {
      editor_ = editor;
      loads.once.clear();
      if (editor) editor.get_blobs = nothing;
      for (const [name, count] of Object.entries(counted)) {
        const load = editor?.[name]?.bind(editor);
        if (!load) continue;
        editor[name] = (what) => {
          [what].flat().forEach((url) => given.add(url));
          const key = name + JSON.stringify(what);
          loads.last = performance.now();
          if (!loads.once.has(key)) {
            loads.under++;
            const sized = name === "add_layers_from_url" ? fitting(editor) : Promise.resolve();
            const loading = sized.then(() => load(what)).finally(() => {
              loads.under--;
              loads[count]++;
              loads.last = performance.now();
            });
            loads.once.set(key, loading);
          }
          return loads.once.get(key);
        };
      }
    },
  });

  const SETTLED = 120; // milliseconds without another load
  function ready() {
    const canvas = $("#canvas");
    const version = canvas?.className.match(/version-(\d+)/)?.[1];
    if (version === undefined || canvas.dataset.ready === version) return;
    if (loads.version !== version) {
      loads.version = version;
      loads.since = performance.now();
      $("#easel").classList.add("settling"); // strokes would be lost
    }
    const editor = window.editor;
    const late = performance.now() - loads.since > 8000; // rather lose a stroke than all
    if (!late && (!editor?.image_container || !canvas.querySelector(".pixi-target canvas"))) return;
    if (!late && canvas.classList.contains("filled")) {
      if (!loads.pictures || loads.under || performance.now() - loads.last < SETTLED) return;
      if (canvas.classList.contains("masked") && !loads.layers) return;
      if (editor.current_tool !== "draw") return;
      editor.command_manager?.reset(); // or its undo takes the picture away
    }
    loads.pictures = loads.layers = 0;
    loads.once.clear();
    canvas.dataset.ready = version;
    $("#easel").classList.remove("settling");
    varpaint.refit();
    varpaint.mounted();
  }

  // ---- often: overlays, and whether the canvas can be painted on ------------------------
  const names = ["undo", "redo", "mask-clear", "mask-invert", "mask-grow", "mask-shrink", "mask-last", "import-mask",
    "export-mask", "theme", "help"];
  function title() {
    $("#status")?.setAttribute("role", "status"); // what comes and goes in it is read out
    for (const id of names) {
      const button = $(`#${id}`);
      if (button && !button.title) button.title = button.textContent.trim();
    }
  }
  let ticks = 0;
  let ground = "";
  function paintGround() { // the editor's ground in the page's colour, also when the theme changes
    const easel = $("#easel");
    const background = window.editor?.app?.renderer?.background;
    if (!easel || !background) return;
    const key = `${getComputedStyle(easel).backgroundColor} ${$("#canvas")?.className}`;
    if (key === ground) return;
    ground = key;
    background.color = key.split(" ").slice(0, 3).join(" ");
    window.editor.wake_render_loop?.();
  }
  /* Where the processor draws the page too, every frame of the canvas is taken from the model. */
  const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
  const FEW = 30; // frames a second
  let drawn = null;
  function drawnBySoftware() {
    if (drawn === null) {
      const gl = document.createElement("canvas").getContext("webgl");
      const names = gl?.getExtension("WEBGL_debug_renderer_info");
      drawn = SOFTWARE.test(names ? gl.getParameter(names.UNMASKED_RENDERER_WEBGL) : "");
      gl?.getExtension("WEBGL_lose_context")?.loseContext();
    }
    return drawn;
  }
  /* The editor's shader looks into as many textures as it may at each pixel, and each pixel is drawn
     four times to smooth edges. A graphics card has that for nothing, a processor has not. */
  const context = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, wanted) {
    const ragged = kind === "webgl2" && wanted?.antialias && drawnBySoftware();
    return context.call(this, kind, ragged ? { ...wanted, antialias: false } : wanted);
  };
  for (const kind of [window.WebGLRenderingContext, window.WebGL2RenderingContext]) {
    const parameter = kind?.prototype.getParameter;
    if (!parameter) continue;
    kind.prototype.getParameter = function (name) {
      return name === this.MAX_TEXTURE_IMAGE_UNITS && drawnBySoftware() ? 1 : parameter.call(this, name);
    };
  }
  let eased = null;
  function ease() {
    const editor = window.editor, app = editor?.app;
    if (editor === eased || !app?.renderer || !editor.outline_graphics) return;
    eased = editor;
    editor.outline_graphics.filters = []; // a blurred shadow, drawn anew in every frame
    if (drawnBySoftware()) app.ticker.maxFPS = FEW;
  }
  function tick() {
    try {
      look();
    } finally { // whatever goes wrong once, the canvas is looked after
      if (performance.now() < lively) requestAnimationFrame(tick);
      else setTimeout(tick, CALM);
    }
  }
  function look() {
    ease();
    ready();
    paintGround();
    varpaint.draw();
    varpaint.tickTools();
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
