/* The tools at the canvas's left. Brush, eraser and pan are the editor's own; rectangle, lasso and
   thing put a shape on the painted layer (shapes.js), as one stroke that its undo knows; the
   original's brush and the thing ask the server. Places are pixels of the canvas's proxy. */
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const varpaint = window.varpaint;
  const { pale, sheet, smallMask, stamp } = varpaint.shapes;
  const OURS = new Set(["rectangle", "lasso", "object", "original"]);
  const EDITORS = { brush: "draw", eraser: "erase" }; // the editor's names
  const state = { name: "brush", take: false };
  varpaint.tool = state;

  // ---- which tool ---------------------------------------------------------------------------
  varpaint.choose = (name) => {
    varpaint.dropGesture();
    state.name = name;
    state.take = false;
    varpaint.applyTool();
    show();
  };

  /* What the hand does now: the chosen tool, unless it pans or there is nothing to mask. */
  const MASKS = new Set(["brush", "eraser", "rectangle", "lasso", "object"]);
  const maskless = () => varpaint.shapes.unmasked();
  varpaint.hand = () => (varpaint.panning || (maskless() && MASKS.has(state.name)) ? "pan" : state.name);
  varpaint.pans = () => varpaint.hand() === "pan";
  varpaint.paints = () => !varpaint.pans();
  varpaint.gesturing = () => OURS.has(varpaint.hand());

  /* The editor's own tool under ours: panning hides its brush. Its buttons are not pressed, for it
     takes the one for panning away while the picture fits. */
  varpaint.applyTool = () => {
    if (!$("#canvas.filled")) return; // a blank one shows how to open a picture
    const name = EDITORS[varpaint.hand()] || "pan";
    if (window.editor && window.editor.current_tool !== name) window.editor.set_tool(name);
  };

  function show() {
    const easel = $("#easel"), settings = $("#settings");
    if (!easel || !settings) return;
    easel.dataset.tool = varpaint.hand();
    let tool = null;
    document.querySelectorAll("#rail [data-tool]").forEach((button) => {
      const on = button.dataset.tool === state.name;
      button.setAttribute("aria-pressed", String(on));
      if (on) tool = button;
    });
    settings.dataset.has = tool?.dataset.settings ?? "";
    settings.querySelector(".hint").textContent = tool?.dataset.hint ?? "";
    settings.querySelectorAll("[data-take]").forEach((button) => {
      button.setAttribute("aria-pressed", String(Boolean(button.dataset.take) === state.take));
    });
    showSize();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#rail button, #settings button");
    if (!button) return;
    if (button.disabled) return;
    if (button.dataset.tool) varpaint.choose(button.dataset.tool);
    else if (button.id === "show-frames") varpaint.toggleFrames();
    else if (button.dataset.take !== undefined) {
      state.take = Boolean(button.dataset.take);
      show();
    }
    button.blur();
  });
  document.addEventListener("input", (event) => {
    if (event.target.closest?.("#settings .size")) setSize(fromSlider(Number(event.target.value)));
  });

  // ---- the brush's size: a radius in pixels of the proxy --------------------------------------
  const brush = () => window.editor?.tools?.get("brush");
  const largest = () => Math.max(24, Math.round(Math.min(window.editor?.width ?? 0, window.editor?.height ?? 0) / 4));
  const size = () => varpaint.size ?? brush()?.state?.brush_size ?? 18;
  const fromSlider = (value) => largest() ** (value / 100); // finer where it is small
  const toSlider = (radius) => 100 * Math.log(Math.max(1, radius)) / Math.log(largest());

  function setSize(value) {
    const now = brush();
    if (!now) return;
    varpaint.size = Math.min(largest(), Math.max(1, Math.round(value)));
    now.set_brush_size(varpaint.size);
    now.set_eraser_size(varpaint.size);
    showSize();
  }
  function showSize() {
    const field = $("#settings .size input");
    if (!field) return;
    field.value = toSlider(size());
    $("#settings .size output").textContent = `${2 * size()} px`;
  }
  varpaint.resizeBrush = (factor) => {
    const now = size() * factor;
    setSize(factor > 1 ? Math.ceil(now) : Math.floor(now));
  };

  // ---- gestures -----------------------------------------------------------------------------
  let gesture = null; // { tool, take, points, pointer }
  const CLICK = 5; // CSS pixels that a click may move

  const target = () => $("#canvas.filled .pixi-target canvas");
  function placeOf(event) {
    const box = varpaint.pictureBox();
    const home = $("#easel").getBoundingClientRect();
    return [(event.clientX - home.left - box.left) / box.unit, (event.clientY - home.top - box.top) / box.unit];
  }

  /* Whether the hand that is on the canvas paints: for what happens when it lets go. */
  let stroking = false;
  varpaint.stroking = () => stroking;
  window.addEventListener("pointerdown", (event) => { stroking = event.target === target() && varpaint.paints(); }, true);
  window.addEventListener("pointerdown", (event) => {
    if (!varpaint.gesturing() || event.button !== 0 || event.target !== target()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    document.activeElement?.blur?.();
    if (gesture || $("#easel").classList.contains("settling")) return;
    gesture = {
      tool: varpaint.hand(), pointer: event.pointerId, points: [placeOf(event)],
      take: event.altKey || (state.take && !event.shiftKey), from: [event.clientX, event.clientY], moved: false,
    };
    try { event.target.setPointerCapture(event.pointerId); } catch { /* a synthetic pointer */ }
    draft();
  }, true);
  window.addEventListener("pointermove", (event) => {
    if (!gesture || event.pointerId !== gesture.pointer) {
      if (varpaint.hand() === "original") hover(event);
      return;
    }
    event.stopImmediatePropagation();
    const [x, y] = gesture.from;
    gesture.moved ||= Math.hypot(event.clientX - x, event.clientY - y) > CLICK;
    const place = placeOf(event);
    if (gesture.tool === "lasso" || gesture.tool === "original") gesture.points.push(place);
    else gesture.points[1] = place;
    draft();
    if (gesture.tool === "original") hover(event);
  }, true);
  window.addEventListener("pointerup", (event) => {
    if (!gesture || event.pointerId !== gesture.pointer) return;
    event.stopImmediatePropagation();
    const done = gesture;
    gesture = null;
    finish(done);
    if (done.tool !== "original") draft();
  }, true);
  window.addEventListener("pointercancel", () => varpaint.dropGesture(), true);
  varpaint.dropGesture = () => {
    const had = Boolean(gesture);
    gesture = null;
    draft();
    return had;
  };

  /* The wheel zooms where it points; with Shift the editor pans, as it does by itself. */
  window.addEventListener("wheel", (event) => {
    const zoom = window.editor?.tools?.get("zoom");
    if (event.target !== target() || event.shiftKey || !zoom?.zoom_to_point) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const rect = event.target.getBoundingClientRect();
    const notch = event.ctrlKey ? 100 : 400; // two fingers that pinch come as small steps with Ctrl
    const step = Math.max(-100, Math.min(100, event.deltaY * (event.deltaMode ? 16 : 1)));
    const point = { x: event.clientX - rect.left, y: event.clientY - rect.top };
    zoom.zoom_to_point(zoom.local_scale * Math.exp(-step / notch), point, true);
  }, { capture: true, passive: false });

  function finish({ tool, take, points, moved }) {
    const [[x0, y0], [x1, y1] = [NaN, NaN]] = points;
    const { width, height } = window.editor;
    if (tool === "original") {
      send("stroke-back", { points: points.map(([x, y]) => [x / width, y / height]), radius: size() });
    } else if (tool === "object") {
      const what = moved ? { box: [x0 / width, y0 / height, x1 / width, y1 / height] }
        : { place: [x0 / width, y0 / height] };
      send("pick", { ...what, take, tolerance: Number($("#settings .tolerance input").value) });
    } else if (moved) {
      const { canvas, pen } = sheet();
      pen.beginPath();
      if (tool === "rectangle") {
        const left = Math.round(Math.min(x0, x1)), top = Math.round(Math.min(y0, y1));
        pen.rect(left, top, Math.round(Math.max(x0, x1)) - left, Math.round(Math.max(y0, y1)) - top);
      } else {
        for (const [x, y] of points) pen.lineTo(x, y);
      }
      pen.fill();
      stamp(canvas, take);
    }
  }

  /* To the server, through a field that is not shown. */
  let number = 0;
  function send(id, what) {
    const version = Number($("#facts")?.dataset.version ?? 0);
    put(id, JSON.stringify({ id: ++number, version, ...what }));
  }
  varpaint.send = send;
  varpaint.put = put;
  function put(id, text) {
    const field = $(`#${id} textarea, #${id} input`);
    if (!field) return;
    const kind = field.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, text);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /* Its answer: the shape of what was picked. */
  let answered = "";
  varpaint.awaited = () => { // a shape that is not on the mask yet
    const shape = $("#shape");
    return Boolean(shape) && shape.dataset.version === $("#facts")?.dataset.version
      && shape.dataset.id !== $("#easel").dataset.stamped;
  };
  async function answer() {
    const shape = $("#shape");
    if (!shape || shape.dataset.id === answered) return;
    answered = shape.dataset.id;
    const { version, ask, yes, url, take, whole, id } = shape.dataset;
    if (version !== $("#facts")?.dataset.version) return;
    if (ask && !(await varpaint.ask(ask, yes))) {
      $("#easel").dataset.stamped = id;
      return;
    }
    const { canvas } = varpaint.shapes.filled(await varpaint.shapes.loaded(url));
    await stamp(canvas, take === "1", whole === "1");
    $("#easel").dataset.stamped = id;
  }

  // ---- the draft: what the hand is drawing now --------------------------------------------------
  function drawing() {
    const easel = $("#easel");
    let svg = $("#draft");
    if (!svg && easel) {
      svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.id = "draft";
      svg.innerHTML = '<path class="shape"/><circle class="tip"/>';
      easel.append(svg);
    }
    return svg;
  }
  function draft() {
    const svg = drawing();
    if (!svg) return;
    const path = svg.querySelector(".shape");
    svg.setAttribute("class", gesture ? `${gesture.tool}${gesture.take ? " take" : ""}` : "");
    if (!gesture) return path.removeAttribute("d");
    const box = varpaint.pictureBox();
    const at = ([x, y]) => `${(box.left + x * box.unit).toFixed(1)} ${(box.top + y * box.unit).toFixed(1)}`;
    const { points, tool } = gesture;
    if (tool === "lasso" || tool === "original") {
      path.setAttribute("d", `M${points.map(at).join("L")}${points.length > 1 ? "" : "h0.1"}`);
      path.style.strokeWidth = tool === "original" ? `${2 * size() * box.unit}px` : "";
    } else if (points.length > 1) {
      const [[x0, y0], [x1, y1]] = points;
      path.setAttribute("d", `M${at([x0, y0])}L${at([x1, y0])}L${at([x1, y1])}L${at([x0, y1])}Z`);
      path.style.strokeWidth = "";
    }
  }
  function hover(event) {
    const svg = drawing();
    const tip = svg?.querySelector(".tip");
    const home = $("#easel").getBoundingClientRect();
    const box = varpaint.pictureBox();
    if (!tip || !box) return;
    tip.setAttribute("cx", event.clientX - home.left);
    tip.setAttribute("cy", event.clientY - home.top);
    tip.setAttribute("r", event.target === target() || gesture ? size() * box.unit : 0);
  }

  const CALM = 250; // milliseconds after the last change
  let changed = 0, any = false;
  /* Whether anything is painted; what was not looked at yet, may be. */
  varpaint.anyPainted = (surely = false) => (changed && !surely ? true : any);
  function tellMask() {
    if (!changed || performance.now() - changed < CALM || $("#easel").classList.contains("settling")) return;
    changed = 0;
    const small = $("#canvas.filled") ? smallMask() : "";
    any = Boolean(small);
    put("painted", $("#canvas.filled") ? `${$("#facts")?.dataset.version} ${small}` : "");
    setTimeout(varpaint.mask, 0); // ready for the press on Run
    varpaint.ahead($("#speed input")?.value === "Fast");
  }

  /* After a stroke or a change in the form: what is painted goes to the server now, if a fast edit
     is to be prepared. */
  let asked = 0;
  varpaint.ahead = (fast) => { if (fast) put("ahead", String(++asked)); };

  /* A new editor is on the page and ready. */
  let known = null;
  varpaint.mounted = () => {
    if (window.editor !== known) {
      known = window.editor;
      known?.on?.("change", () => { changed = performance.now(); });
    }
    const key = `${known?.width} ${known?.height}`;
    if (varpaint.sizeFor !== key) varpaint.size = undefined; // a brush that suits the new picture
    varpaint.sizeFor = key;
    if (varpaint.size) setSize(varpaint.size);
    changed = performance.now();
    draft();
    varpaint.applyTool();
    varpaint.coloured();
    show();
  };

  /* A task that has no mask has no tools for it. */
  const MASKING = ["mask-clear", "mask-invert", "mask-grow", "mask-shrink", "mask-last", "import-mask", "export-mask"];
  let without = null;
  function allow() {
    const none = maskless();
    for (const tool of MASKS) {
      const button = $(`#rail [data-tool=${tool}]`);
      if (button && button.disabled !== none) button.disabled = none;
    }
    const blank = none || !$("#canvas.filled");
    for (const id of MASKING) {
      const button = $(`#${id}`);
      if (button && button.disabled !== blank) button.disabled = blank;
    }
    if (without === none) return;
    without = none;
    varpaint.dropGesture();
    varpaint.applyTool();
    show();
  }

  varpaint.tickTools = () => {
    allow();
    answer();
    pale();
    tellMask();
  };
})();
