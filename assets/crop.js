/* Another shape for the picture: a dialog with a frame to drag, quarter turns, a slider to straighten
   and a size. What is chosen goes to the server at once, as one step of the history.

   The frame lies upright over the picture, which turns below it. Its places are pixels of the turned
   picture, from its middle. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const LEAST = 16; // pixels of a side, as in app/geometry.py
  const ROOM = 30; // CSS pixels around the picture, for handles and fingers
  const STEP = 8; // CSS pixels that an arrow key moves by; with Shift one

  let own = null; // the picture: { width, height, version }
  let turns, angle, frame, wanted, aspect, typed, unit; // `wanted`, where the hand put the frame

  const dialog = () => $("#crop");
  const part = (selector) => dialog().querySelector(selector);
  const turned = () => (turns % 2 ? [own.height, own.width] : [own.width, own.height]);
  const radians = () => (angle * Math.PI) / 180;

  // ---- where a frame can be -----------------------------------------------------------------
  function holds([left, top, right, bottom]) {
    const [width, height] = turned(), cos = Math.cos(radians()), sin = Math.sin(radians());
    return right - left >= Math.min(LEAST, width) - 0.01 && bottom - top >= Math.min(LEAST, height) - 0.01
      && [left, right].every((x) => [top, bottom].every((y) =>
        Math.abs(x * cos + y * sin) <= width / 2 + 0.01 && Math.abs(y * cos - x * sin) <= height / 2 + 0.01));
  }
  const between = (from, to, share) => from.map((value, at) => value + (to[at] - value) * share);
  /* As far as a frame that holds can go towards another: what holds is convex. */
  function towards(from, to) {
    if (holds(to)) return to;
    let good = 0, bad = 1;
    for (let tries = 0; tries < 24; tries++) {
      const middle = (good + bad) / 2;
      if (holds(between(from, to, middle))) good = middle;
      else bad = middle;
    }
    return between(from, to, good);
  }
  /* The largest upright rectangle in the turned picture, of the chosen shape if there is one. */
  function largest() {
    const [width, height] = turned(), sin = Math.abs(Math.sin(radians())), cos = Math.abs(Math.cos(radians()));
    let wide, high;
    if (aspect) {
      wide = Math.min(width / (cos + sin / aspect), height / (sin + cos / aspect));
      high = wide / aspect;
    } else if (Math.min(width, height) <= 2 * sin * cos * Math.max(width, height) || Math.abs(sin - cos) < 1e-9) {
      const half = Math.min(width, height) / 2; // two corners touch the long sides
      [wide, high] = width >= height ? [half / sin, half / cos] : [half / cos, half / sin];
    } else { // each corner touches a side
      const both = cos * cos - sin * sin;
      [wide, high] = [(width * cos - height * sin) / both, (height * cos - width * sin) / both];
    }
    return [-wide / 2, -high / 2, wide / 2, high / 2];
  }
  /* The frame after the picture has turned below it: where the hand put it, made smaller if need be. */
  function settle() {
    const middle = wanted && [(wanted[0] + wanted[2]) / 2, (wanted[1] + wanted[3]) / 2];
    const small = Math.min(LEAST, own.width, own.height) / 2;
    const point = middle && [middle[0] - small, middle[1] - small, middle[0] + small, middle[1] + small];
    frame = point && holds(point) ? towards(point, wanted) : largest();
  }
  /* The largest of the chosen shape around the frame's middle. */
  function shaped() {
    if (!aspect || !wanted) return settle();
    const [left, top, right, bottom] = frame, x = (left + right) / 2, y = (top + bottom) / 2;
    const wide = Math.max(right - left, (bottom - top) * aspect) / 2, high = wide / aspect;
    wanted = [x - wide, y - high, x + wide, y + high];
    settle();
    wanted = frame;
  }

  // ---- what the hand does -------------------------------------------------------------------
  function moved(from, edge, dx, dy) {
    const [left, top, right, bottom] = from;
    if (!edge) return towards(towards(from, [left + dx, top, right + dx, bottom]), [left + dx, top + dy, right + dx, bottom + dy]);
    if (!aspect) {
      const across = [left + (edge.includes("w") ? dx : 0), top, right + (edge.includes("e") ? dx : 0), bottom];
      const there = towards(from, across);
      return towards(there, [there[0], top + (edge.includes("n") ? dy : 0), there[2], bottom + (edge.includes("s") ? dy : 0)]);
    }
    const grown = [edge.includes("e") ? dx : edge.includes("w") ? -dx : -Infinity,
      (edge.includes("s") ? dy : edge.includes("n") ? -dy : -Infinity) * aspect];
    const wide = Math.max(right - left + Math.max(...grown), 0), high = wide / aspect;
    const x = (left + right - wide) / 2, y = (top + bottom - high) / 2; // an edge keeps the middle
    const to = [x, y, x + wide, y + high];
    if (edge.includes("e")) [to[0], to[2]] = [left, left + wide];
    if (edge.includes("w")) [to[0], to[2]] = [right - wide, right];
    if (edge.includes("s")) [to[1], to[3]] = [top, top + high];
    if (edge.includes("n")) [to[1], to[3]] = [bottom - high, bottom];
    return towards(from, to);
  }
  function move(from, edge, dx, dy) {
    frame = wanted = moved(from, edge, dx / unit, dy / unit);
    draw();
  }
  let drag = null; // { edge, from, x, y }
  window.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest?.("#crop .frame");
    if (!grip || event.button !== 0) return;
    event.preventDefault();
    event.target.focus?.({ focusVisible: false });
    drag = { edge: event.target.dataset.edge ?? "", from: frame, x: event.clientX, y: event.clientY };
    try { event.target.setPointerCapture(event.pointerId); } catch { /* a synthetic pointer */ }
  });
  window.addEventListener("pointermove", (event) => {
    if (drag) move(drag.from, drag.edge, event.clientX - drag.x, event.clientY - drag.y);
  });
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => { drag = null; });

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  window.addEventListener("keydown", (event) => {
    const grip = event.target.closest?.("#crop .frame");
    if (grip && ARROWS[event.key]) {
      event.preventDefault();
      const [dx, dy] = ARROWS[event.key], step = event.shiftKey ? unit : STEP;
      move(frame, event.target.dataset.edge ?? "", dx * step, dy * step);
    } else if (event.key === "Enter" && dialog()?.open && !event.target.closest?.("[data-end], [data-turn], select")) {
      event.preventDefault();
      ends.apply();
    }
  });

  // ---- what is shown ------------------------------------------------------------------------
  const sides = () => [Math.round(frame[2] - frame[0]), Math.round(frame[3] - frame[1])];
  function size() { // in pixels, of what comes out
    const [wide, high] = sides();
    return typed ? [typed, Math.max(1, Math.round((typed * high) / wide))] : [wide, high];
  }
  function draw() {
    const view = part(".view"), [width, height] = turned();
    const cos = Math.abs(Math.cos(radians())), sin = Math.abs(Math.sin(radians()));
    const room = [view.clientWidth - 2 * ROOM, view.clientHeight - 2 * ROOM];
    unit = Math.min(room[0] / (width * cos + height * sin), room[1] / (width * sin + height * cos));
    Object.assign(part("img").style, {
      width: `${own.width * unit}px`, height: `${own.height * unit}px`,
      transform: `translate(-50%, -50%) rotate(${90 * turns + angle}deg)`,
    });
    const [left, top, right, bottom] = frame;
    Object.assign(part(".frame").style, {
      left: `${view.clientWidth / 2 + left * unit}px`, top: `${view.clientHeight / 2 + top * unit}px`,
      width: `${(right - left) * unit}px`, height: `${(bottom - top) * unit}px`,
    });
    part("output").textContent = `${angle.toFixed(1).replace(/\.0$/, "").replace("-", "−")}°`;
    const [wide, high] = size();
    for (const [name, value] of [["width", wide], ["height", high]]) {
      const field = part(`[name=${name}]`);
      if (field !== document.activeElement && field.value !== String(value)) field.value = value;
    }
    const changes = turns % 4 || angle || wide !== own.width || high !== own.height;
    part("[data-end=apply]").disabled = !changes || Math.min(wide, high) < Math.min(LEAST, own.width, own.height);
  }
  function begin() {
    turns = angle = typed = 0;
    wanted = aspect = null;
    part("select").value = "";
    part("[type=range]").value = 0;
    settle();
    draw();
  }
  const ends = {
    reset: begin,
    cancel: () => dialog().close(),
    apply: () => {
      if (part("[data-end=apply]").disabled) return;
      const [width, height] = turned();
      const box = frame.map((value, at) => value / (at % 2 ? height : width) + 0.5);
      dialog().close();
      varpaint.send("reshape", { turns: ((turns % 4) + 4) % 4, angle, box, width: typed });
    },
  };
  varpaint.crop = () => {
    const facts = $("#facts")?.dataset, url = varpaint.pictureUrl();
    if (!facts || !url || !$("#canvas.filled") || $("#cancel:not(:disabled)") || dialog().open) return;
    own = { width: Number(facts.width), height: Number(facts.height), version: facts.version };
    part("img").src = url;
    dialog().showModal();
    begin();
    part(".frame").focus({ focusVisible: false });
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#crop button");
    if (!button) return;
    if (button.dataset.end) ends[button.dataset.end]();
    if (!button.dataset.turn) return;
    const by = Number(button.dataset.turn), turn = ([left, top, right, bottom]) =>
      (by > 0 ? [-bottom, left, -top, right] : [top, -right, bottom, -left]);
    turns = (turns + by + 4) % 4;
    if (wanted) wanted = turn(wanted);
    if (aspect) aspect = 1 / aspect;
    const select = part("select"), other = select.value.split(":").reverse().join(":");
    if ([...select.options].some((option) => option.value === other)) select.value = other;
    settle();
    draw();
  });
  document.addEventListener("input", (event) => {
    const field = event.target.closest?.("#crop input, #crop select");
    if (!field) return;
    const [width, height] = turned(), [wide, high] = sides(), value = Math.round(Number(field.value));
    if (field.type === "range") {
      angle = Math.abs(field.value) < 0.05 ? 0 : Number(field.value);
      settle();
    } else if (field.tagName === "SELECT") {
      const [across, down] = field.value === "own" ? [width, height] : field.value.split(":").map(Number);
      aspect = across / down || null;
      shaped();
    } else if (field.name === "width") typed = value > 0 && value !== wide ? value : 0;
    else typed = value > 0 && value !== high ? Math.round((value * wide) / high) : 0;
    draw();
  });
  document.addEventListener("change", (event) => { // a size is told as it will be
    if (event.target.closest?.("#crop .size")) {
      event.target.blur();
      draw();
    }
  });
  window.addEventListener("resize", () => { if (dialog()?.open) draw(); });
  document.addEventListener("click", (event) => { if (event.target.closest?.("#show-crop")) varpaint.crop(); });
  varpaint.tickCrop = () => {
    const button = $("#show-crop"), none = !$("#canvas.filled") || Boolean($("#cancel:not(:disabled)"));
    if (button && button.disabled !== none) button.disabled = none;
  };
})();
