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
  const isPicture = (file) => file && file.type.startsWith("image/");

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
  window.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  }, true);
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  }, true);
  window.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    const file = [...(event.dataTransfer?.files ?? [])].find(isPicture);
    if (!file) return;
    stop(event);
    open(file, event.shiftKey ? "#import-mask" : "#open");
  }, true);
  window.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(isPicture);
    if (!file) return;
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

  // ---- the canvas's own tools ---------------------------------------------------------------
  const tool = (label) => $(`#canvas button[aria-label="${label}"]`);
  const press = (selector) => {
    const button = $(selector);
    if (button && !button.disabled) button.click();
    return Boolean(button && !button.disabled);
  };
  const brush = () => window.editor?.tools?.get("brush");

  function resize(factor) {
    const now = brush();
    if (!now) return;
    const size = (value) => Math.min(250, Math.max(1, factor > 1 ? Math.ceil(value * factor) : Math.floor(value * factor)));
    const state = now.state ?? now.brush_state ?? {};
    varpaint.size = size(varpaint.size ?? state.brush_size ?? 18);
    now.set_brush_size(varpaint.size);
    now.set_eraser_size(varpaint.size);
  }

  /* Space pans while it is held, then the tool before it comes back. */
  let before = null;
  function pan(on) {
    if (on === Boolean(before)) return;
    if (on) {
      before = window.editor?.current_tool === "erase" ? "Erase" : "Brush";
      tool("Pan")?.click();
    } else {
      tool(before)?.click();
      before = null;
    }
  }

  const plain = {
    b: () => tool("Brush")?.click(),
    e: () => tool("Erase")?.click(),
    "[": () => resize(1 / 1.25),
    "]": () => resize(1.25),
    x: () => press("#mask-clear"),
    i: () => press("#mask-invert"),
    u: () => press("#use-result"),
    0: () => window.editor?.tools?.get("zoom")?.set_zoom("fit"),
    " ": () => pan(true),
    c: () => $("#compare")?.classList.add("before"),
    "?": () => varpaint.help(),
  };

  window.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "c") $("#compare")?.classList.remove("before");
    if (event.key === " ") pan(false);
  }, true);
  window.addEventListener("keydown", (event) => {
    if ($("dialog[open]")) return;
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (control && key === "enter") {
      stop(event);
      event.target.blur?.();
      press("#run");
    } else if (key === "escape" && !typing(event.target)) {
      press("#cancel");
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
    } else if (key === " " && event.target.closest?.("button, a, [role=button], input")) {
      return;
    } else if (!control && !event.altKey && plain[event.key === "?" ? "?" : key]) {
      stop(event);
      plain[event.key === "?" ? "?" : key]();
    }
  }, true);

  // ---- over the canvas: the area that an extension adds -------------------------------------
  const amount = (id, side) => {
    const field = $(`#extend-${id} input, #extend-${id} textarea`);
    const text = (field?.value ?? "").trim();
    const number = parseFloat(text);
    if (!(number > 0) || !field.offsetParent) return 0;
    return text.endsWith("%") ? Math.round((number / 100) * side) : number;
  };

  function pictureBox() {
    const editor = window.editor;
    const canvas = $("#canvas .pixi-target canvas");
    const container = editor?.image_container;
    if (!canvas || !container) return null;
    const rect = canvas.getBoundingClientRect();
    const home = $("#easel").getBoundingClientRect();
    const scale = editor.scale_value ?? container.scale.x;
    return {
      left: rect.left - home.left + container.position.x,
      top: rect.top - home.top + container.position.y,
      width: (editor.dimensions_value?.width ?? editor.width) * scale,
      height: (editor.dimensions_value?.height ?? editor.height) * scale,
    };
  }

  /* Zoom out so that the new area is in view; once for every change of the amounts. */
  let fitted = "";
  function fit(add, width, height, box) {
    const key = JSON.stringify([add, width, height]);
    if (key === fitted) return;
    fitted = key;
    const editor = window.editor;
    const target = $("#canvas .pixi-target canvas")?.getBoundingClientRect();
    if (!editor?.set_image_properties || !target) return;
    const pad = 56;
    const shown = box.width / (editor.scale_value || 1);
    const unit = shown / width; // canvas pixels per picture pixel
    const wide = (width + add.left + add.right) * unit, high = (height + add.top + add.bottom) * unit;
    const scale = Math.min((target.width - pad) / wide, (target.height - pad) / high, 1);
    editor.set_image_properties({
      scale,
      position: {
        x: (target.width - wide * scale) / 2 + add.left * unit * scale,
        y: (target.height - high * scale) / 2 + add.top * unit * scale,
      },
      animate: false,
    });
    editor.wake_render_loop?.();
  }

  /* While a run grows a picture, show its first variation in place. */
  let growing = null;
  function grow(add, width, height) {
    const live = $("#cancel:not(:disabled)") && $("#task input[value=generate]")?.checked === false
      ? $("#preview .grow .cells img") : null;
    const box = live && width ? pictureBox() : null;
    if (!box) {
      growing?.remove();
      growing = null;
      return;
    }
    if (!growing) {
      growing = document.createElement("img");
      growing.className = "grow";
      growing.alt = "";
      $("#easel").append(growing);
    }
    if (growing.src !== live.src) growing.src = live.src;
    const x = box.width / width, y = box.height / height;
    Object.assign(growing.style, {
      left: `${box.left - add.left * x}px`, top: `${box.top - add.top * y}px`,
      width: `${box.width + (add.left + add.right) * x}px`, height: `${box.height + (add.top + add.bottom) * y}px`,
    });
  }

  let drawn = "";
  function draw() {
    const easel = $("#easel");
    const facts = $("#facts");
    if (!easel) return;
    let over = $("#over");
    if (!over) {
      over = document.createElement("div");
      over.id = "over";
      easel.append(over);
    }
    const width = Number(facts?.dataset.width ?? 0);
    const height = Number(facts?.dataset.height ?? 0);
    const add = width ? {
      left: amount("left", width), right: amount("right", width),
      top: amount("top", height), bottom: amount("bottom", height),
    } : null;
    const extends_ = add && (add.left || add.right || add.top || add.bottom);
    const box = extends_ ? pictureBox() : null;
    if (box) fit(add, width, height, box);
    else if (!extends_) {
      if (fitted) plain[0]();
      fitted = "";
    }
    grow(add ?? {}, width, height);
    const key = box ? JSON.stringify([add, box, width]) : "";
    if (key === drawn) return;
    drawn = key;
    over.replaceChildren();
    if (!box) return;
    const x = box.width / width, y = box.height / height;
    const outer = {
      left: box.left - add.left * x, top: box.top - add.top * y,
      right: box.left + box.width + add.right * x, bottom: box.top + box.height + add.bottom * y,
    };
    const put = (l, t, r, b) => {
      if (r - l < 0.5 || b - t < 0.5) return;
      const part = document.createElement("div");
      part.className = "new";
      Object.assign(part.style, { left: `${l}px`, top: `${t}px`, width: `${r - l}px`, height: `${b - t}px` });
      over.append(part);
    };
    put(outer.left, outer.top, box.left, outer.bottom);
    put(box.left + box.width, outer.top, outer.right, outer.bottom);
    put(box.left, outer.top, box.left + box.width, box.top);
    put(box.left, box.top + box.height, box.left + box.width, outer.bottom);
    const size = document.createElement("div");
    size.className = "size";
    size.textContent = `${width + add.left + add.right} × ${height + add.top + add.bottom}`;
    const home = easel.getBoundingClientRect();
    Object.assign(size.style, {
      left: `${(Math.max(0, outer.left) + Math.min(home.width, outer.right)) / 2}px`,
      top: `${Math.min(home.height - 28, Math.max(6, outer.bottom - 26))}px`,
    });
    over.append(size);
  }

  // ---- when the canvas can be painted on ----------------------------------------------------
  /* Given a new value, the editor loads the picture and its layers up to twice, and what is painted
     in between is lost. So until a version of the canvas is ready, each is loaded once. */
  const loads = { pictures: 0, layers: 0, under: 0, last: 0, once: new Map() };
  const counted = { add_image_from_url: "pictures", add_layers_from_url: "layers" };
  let editor_ = window.editor;
  Object.defineProperty(window, "editor", {
    configurable: true,
    get: () => editor_,
    set(editor) {
      editor_ = editor;
      loads.once.clear();
      for (const [name, count] of Object.entries(counted)) {
        const load = editor?.[name]?.bind(editor);
        if (!load) continue;
        editor[name] = (what) => {
          const key = name + JSON.stringify(what);
          loads.last = performance.now();
          if (!loads.once.has(key)) {
            loads.under++;
            const loading = Promise.resolve(load(what)).finally(() => {
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
    if (editor?.outline_graphics) editor.outline_graphics.filters = []; // slow without a GPU
    canvas.dataset.ready = version;
    $("#easel").classList.remove("settling");
    fitted = "";
    varpaint.size = undefined;
  }

  // ---- once a frame: overlays, and whether the canvas can be painted on ------------------------
  const names = ["undo", "redo", "mask-clear", "mask-invert", "mask-grow", "mask-shrink", "mask-last", "import-mask",
    "export-mask", "theme", "help"];
  function title() {
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
  function tick() {
    ready();
    paintGround();
    draw();
    if (ticks++ % 60 === 0) title();
    if (wanted && document.body.classList.contains("dark") !== (wanted === "dark")) {
      document.body.classList.toggle("dark", wanted === "dark");
    }
    requestAnimationFrame(tick);
  }
  const begin = () => {
    try { wanted = localStorage.getItem("varpaint-theme"); } catch { /* private window */ }
    requestAnimationFrame(tick);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
