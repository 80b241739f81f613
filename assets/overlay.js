/* What is drawn over the canvas: the area that an extension adds, the squares that the model sees,
   the picture as it grows. Places are CSS pixels of #easel. */
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const varpaint = window.varpaint;

  /* What is to be added on a side, in pixels; ``side`` is the picture's in that direction. */
  const amount = varpaint.amount = (id, side) => {
    const field = $(`#extend-${id} input, #extend-${id} textarea`);
    const text = (field?.value ?? "").trim();
    const number = parseFloat(text);
    if (!(number > 0) || !field.offsetParent) return 0;
    return text.endsWith("%") ? rounded((number / 100) * side) : number;
  };
  /* As Python rounds: a half to the even number. */
  const rounded = (value) => (Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

  /* Where the picture lies now; unit is CSS pixels per pixel of the canvas's proxy. */
  varpaint.pictureBox = () => {
    const editor = window.editor;
    const canvas = $("#canvas .pixi-target canvas");
    const container = editor?.image_container;
    if (!canvas || !container) return null;
    const rect = canvas.getBoundingClientRect();
    const home = $("#easel").getBoundingClientRect();
    const unit = editor.scale_value ?? container.scale.x;
    return {
      left: rect.left - home.left + container.position.x,
      top: rect.top - home.top + container.position.y,
      width: (editor.dimensions_value?.width ?? editor.width) * unit,
      height: (editor.dimensions_value?.height ?? editor.height) * unit,
      unit,
    };
  };

  const fitPicture = () => window.editor?.tools?.get("zoom")?.set_zoom("fit");
  varpaint.fitPicture = fitPicture;

  /* Zoom out so that the new area is in view; once for every change of the amounts. */
  let fitted = "";
  varpaint.refit = () => { fitted = ""; };
  /* A window of another size: the editor has fitted its picture into it, without the new area. */
  let resized = 0;
  window.addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => { if (fitted) fitted = "?"; }, 300);
  });
  function fit(add, width, height, box) {
    const key = JSON.stringify([add, width, height]);
    if (key === fitted) return;
    fitted = key;
    const editor = window.editor;
    const target = $("#canvas .pixi-target canvas")?.getBoundingClientRect();
    if (!editor?.set_image_properties || !target) return;
    const pad = 56;
    const shown = box.width / box.unit;
    const unit = shown / width; // canvas pixels per picture pixel
    const wide = (width + add.left + add.right) * unit, high = (height + add.top + add.bottom) * unit;
    const scale = Math.min((target.width - pad) / wide, (target.height - 2 * pad) / high, 1);
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

  const generating = () => Boolean($("#task input[value=generate]")?.checked);

  /* While a run grows a picture, show its first variation in place. */
  let growing = null;
  function grow(add, width, height) {
    const live = $("#cancel:not(:disabled)") ? $("#preview .grow .cells img") : null;
    const alone = generating();
    const box = live && width && !alone ? varpaint.pictureBox() : null;
    if (!box && !(live && alone)) {
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
    growing.classList.toggle("alone", alone);
    if (alone) return growing.removeAttribute("style");
    const x = box.width / width, y = box.height / height;
    Object.assign(growing.style, {
      left: `${box.left - add.left * x}px`, top: `${box.top - add.top * y}px`,
      width: `${box.width + (add.left + add.right) * x}px`, height: `${box.height + (add.top + add.bottom) * y}px`,
    });
  }

  /* The squares that the model sees, [[left, top, side], ...] in the picture's pixels. */
  const shown = () => !document.body.classList.contains("no-frames");
  function frames() {
    const sight = $("#sight");
    if (!shown() || !sight || generating() || varpaint.looking() === "1" || sight.dataset.version !== $("#facts")?.dataset.version) return [];
    return JSON.parse(sight.dataset.frames || "[]");
  }
  const draws = () => "draws" in ($("#sight")?.dataset ?? {}); // in them, and need not look
  varpaint.toggleFrames = () => {
    document.body.classList.toggle("no-frames");
    $("#show-frames")?.setAttribute("aria-pressed", String(shown()));
    drawn = "?";
  };

  function part(over, name, left, top, right, bottom) {
    if (right - left < 0.5 || bottom - top < 0.5) return null;
    const element = document.createElement("div");
    element.className = name;
    Object.assign(element.style, {
      left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px`,
    });
    over.append(element);
    return element;
  }

  function drawExtension(over, add, box, width, height) {
    const x = box.width / width, y = box.height / height;
    const outer = {
      left: box.left - add.left * x, top: box.top - add.top * y,
      right: box.left + box.width + add.right * x, bottom: box.top + box.height + add.bottom * y,
    };
    part(over, "new", outer.left, outer.top, box.left, outer.bottom);
    part(over, "new", box.left + box.width, outer.top, outer.right, outer.bottom);
    part(over, "new", box.left, outer.top, box.left + box.width, box.top);
    part(over, "new", box.left, box.top + box.height, box.left + box.width, outer.bottom);
    const size = document.createElement("div");
    size.className = "size";
    size.textContent = `${width + add.left + add.right} × ${height + add.top + add.bottom}`;
    const home = $("#easel").getBoundingClientRect();
    Object.assign(size.style, {
      left: `${(Math.max(0, outer.left) + Math.min(home.width, outer.right)) / 2}px`,
      top: `${Math.min(home.height - 30, outer.bottom + 6)}px`,
    });
    over.append(size);
  }

  const LABEL = 190; // CSS pixels that a frame's words take
  function drawFrames(over, squares, box, width) {
    const unit = box.width / width;
    squares.forEach(([left, top, side], index) => {
      const x = box.left + left * unit, y = box.top + top * unit;
      const frame = part(over, "frame", x, y, x + side * unit, y + side * unit);
      if (!frame || index) return; // one says it for all
      const label = document.createElement("span");
      const sides = squares.map((square) => square[2]), most = Math.max(...sides);
      const each = sides.every((one) => one === most) ? `${most} px` : `up to ${most} px`;
      const [long, short] = squares.length > 1 ? [draws() ? `drawn in ${squares.length} squares, ${each}` : `${squares.length} looks, ${each}`, `${squares.length} looks`]
        : [draws() ? `drawn at ${side} px` : `the model sees ${side} × ${side} px`, `${side} × ${side} px`];
      label.textContent = side * unit > LABEL ? long : short;
      frame.append(label);
    });
  }

  /* The regions that wait for their class, while that is the task. */
  let tint = null;
  function regions() {
    const url = $("#facts")?.dataset.regions, on = url && $("#task input:checked")?.value === "edit_class";
    const box = on && $("#canvas.filled") && varpaint.looking() !== "1" ? varpaint.pictureBox() : null;
    if (!box) {
      tint?.remove();
      tint = null;
      return;
    }
    if (!tint) {
      tint = document.createElement("img");
      tint.className = "regions-over";
      tint.alt = "";
      $("#easel").append(tint);
    }
    if (tint.getAttribute("src") !== url) tint.src = url;
    Object.assign(tint.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
  }

  let drawn = "";
  varpaint.draw = () => {
    const easel = $("#easel");
    const facts = $("#facts");
    if (!easel) return;
    let over = $("#over");
    if (!over) {
      over = document.createElement("div");
      over.id = "over";
      easel.append(over);
      drawn = "?";
    }
    const width = Number(facts?.dataset.width ?? 0);
    const height = Number(facts?.dataset.height ?? 0);
    const add = width ? {
      left: amount("left", width), right: amount("right", width),
      top: amount("top", height), bottom: amount("bottom", height),
    } : {};
    const extends_ = Boolean(add.left || add.right || add.top || add.bottom);
    const squares = width && !easel.classList.contains("settling") ? frames() : [];
    const box = extends_ || squares.length ? varpaint.pictureBox() : null;
    if (varpaint.dragging()) fitted = "dragged"; // the picture stays under the hand
    else if (box && extends_) fit(add, width, height, box);
    else if (!extends_) {
      if (fitted) fitPicture();
      fitted = "";
    }
    grow(add, width, height);
    regions();
    const key = box ? JSON.stringify([add, box, width, squares, draws()]) : "";
    if (key === drawn) return;
    drawn = key;
    over.replaceChildren();
    if (!box) return;
    if (extends_) drawExtension(over, add, box, width, height);
    drawFrames(over, squares, box, width);
  };
})();
