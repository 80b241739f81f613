/* How large the picture is shown: a bar at the canvas's foot. 100 % is a pixel of the picture on a
   pixel of the screen. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const STEP = 1.25;

  const zoom = () => window.editor?.tools?.get("zoom");
  /* The editor's scale at which the picture's pixels are the screen's. */
  function real() {
    const width = Number($("#facts")?.dataset.width ?? 0), shown = window.editor?.width;
    return width && shown ? width / shown / (window.devicePixelRatio || 1) : 1;
  }
  const scale = () => window.editor?.scale_value ?? 1;
  varpaint.smallest = () => Math.min(1, zoom()?.calculate_min_zoom(window.editor.width, window.editor.height) ?? 1) / 2;

  function zoomTo(wanted) {
    const target = $("#canvas.filled .pixi-target canvas")?.getBoundingClientRect();
    if (target) zoom()?.zoom_to_point(wanted, { x: target.width / 2, y: target.height / 2 }, true);
  }
  const acts = {
    out: () => zoomTo(scale() / STEP),
    in: () => zoomTo(scale() * STEP),
    real: () => zoomTo(real()),
    fit: () => varpaint.fitPicture(),
  };
  function bar() {
    let bar = $("#zoom");
    if (!bar && $("#easel")) {
      bar = document.createElement("div");
      bar.id = "zoom";
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", "Zoom");
      bar.innerHTML = '<button type="button" data-zoom="out" aria-label="Smaller" title="Smaller">−</button>'
        + '<button type="button" data-zoom="real" title="To 100 %: a pixel of the picture on one of the screen"></button>'
        + '<button type="button" data-zoom="in" aria-label="Larger" title="Larger">+</button>'
        + '<button type="button" data-zoom="fit" title="All of the picture (0)">Fit</button>';
      $("#easel").append(bar);
    }
    return bar;
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#zoom button");
    if (button) acts[button.dataset.zoom]();
  });
  varpaint.tickZoom = () => {
    const here = bar();
    if (!here) return;
    const filled = Boolean($("#canvas.filled"));
    varpaint.hide(here, !filled);
    if (!filled) return;
    const percent = `${Math.round((100 * scale()) / real())} %`;
    const button = here.querySelector("[data-zoom=real]");
    if (button.textContent !== percent) button.textContent = percent;
  };
})();
