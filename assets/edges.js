/* The edges of an extension: each can be dragged on the canvas, and its amount follows in the form. The
   aspect that the picture has, or would have, looks pressed. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const SIDES = ["left", "right", "top", "bottom"];
  const ALONG = { left: -1, right: 1, top: -1, bottom: 1 };
  let drag = null; // { side, from, amount, unit }

  const outpaints = () => $("#task input:checked")?.value === "outpaint";
  const facts = () => ({ width: Number($("#facts")?.dataset.width ?? 0), height: Number($("#facts")?.dataset.height ?? 0) });
  varpaint.dragging = () => Boolean(drag);

  function handles() {
    let all = $("#edges");
    if (!all && $("#easel")) {
      all = document.createElement("div");
      all.id = "edges";
      for (const side of SIDES) {
        const handle = document.createElement("div");
        handle.dataset.side = side;
        handle.title = `Drag to extend the ${side}`;
        all.append(handle);
      }
      $("#easel").append(all);
    }
    return all;
  }
  /* What is added on each side now, in the picture's pixels. */
  function added({ width, height }) {
    return Object.fromEntries(SIDES.map((side) => [side, varpaint.amount(side, side === "left" || side === "right" ? width : height)]));
  }

  window.addEventListener("pointerdown", (event) => {
    const side = event.target.closest?.("#edges [data-side]")?.dataset.side;
    if (!side || event.button !== 0) return;
    varpaint.stop(event);
    const size = facts(), box = varpaint.pictureBox();
    const level = side === "left" || side === "right";
    drag = {
      side, level, from: level ? event.clientX : event.clientY, amount: added(size)[side],
      unit: level ? box.width / size.width : box.height / size.height,
    };
    event.target.setPointerCapture(event.pointerId);
  }, true);
  window.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const moved = ((drag.level ? event.clientX : event.clientY) - drag.from) * ALONG[drag.side];
    varpaint.put(`extend-${drag.side}`, String(Math.max(0, Math.round(drag.amount + moved / drag.unit)) || ""));
  }, true);
  for (const end of ["pointerup", "pointercancel"]) {
    window.addEventListener(end, () => {
      if (!drag) return;
      drag = null;
      varpaint.refit();
    }, true);
  }

  function aspects({ width, height }, add) {
    const now = width ? (width + add.left + add.right) / (height + add.top + add.bottom) : 0;
    document.querySelectorAll("#aspects button").forEach((button) => {
      const [wide, high] = button.textContent.split(":").map(Number);
      const on = String(Math.abs(now - wide / high) < 0.004 * (wide / high));
      if (button.getAttribute("aria-pressed") !== on) button.setAttribute("aria-pressed", on);
    });
  }
  varpaint.tickEdges = () => {
    const all = handles();
    if (!all) return;
    const size = facts(), shown = outpaints() && size.width && !$("#cancel:not(:disabled)") && varpaint.looking() !== "1";
    const box = shown ? varpaint.pictureBox() : null;
    varpaint.hide(all, !box);
    if (!box) return;
    const add = added(size), x = box.width / size.width, y = box.height / size.height;
    const left = box.left - add.left * x, right = box.left + box.width + add.right * x;
    const top = box.top - add.top * y, bottom = box.top + box.height + add.bottom * y;
    const places = { left: [left, (top + bottom) / 2], right: [right, (top + bottom) / 2], top: [(left + right) / 2, top], bottom: [(left + right) / 2, bottom] };
    for (const handle of all.children) {
      const [at, down] = places[handle.dataset.side];
      handle.style.left = `${at}px`;
      handle.style.top = `${down}px`;
    }
    aspects(size, add);
  };
})();
