/* The chosen variation over the canvas, at full size: flip through them, look at what was before.
   The server says which one it is in #seen (app/markup.py); painting takes it away. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  let looking = false, comparing = false, held = false, told = "";

  const running = () => Boolean($("#cancel:not(:disabled)"));
  /* What the server says, if it is of the picture on the canvas. */
  function current() {
    const seen = $("#seen");
    if (!seen || running() || $("#task input:checked")?.value !== seen.dataset.task) return null;
    const filled = $("#canvas.filled");
    if (seen.dataset.alone === "1" && !filled) return seen.dataset;
    return filled && (seen.dataset.alone === "1" || seen.dataset.version === $("#facts")?.dataset.version) ? seen.dataset : null;
  }

  varpaint.looking = () => (current() ? (looking ? "1" : "0") : $("#seen") && $("#canvas.filled") && !running() ? "0" : "");
  /* Where on the canvas lies what is looked at: the picture (number 0), or a result, which may be
     `grown` times as wide. */
  varpaint.shownPlace = () => {
    const box = $("#canvas.filled") && varpaint.pictureBox(), data = current();
    if (!box || data?.alone === "1") return null;
    if (!data || !looking || held) return { ...box, number: 0, grown: 1 };
    const place = Object.fromEntries(Object.entries(placed(box, data)).map(([name, value]) => [name, parseFloat(value)]));
    return { ...place, number: Number(data.number), grown: place.width / box.width };
  };
  varpaint.look = (on) => { looking = on; };
  varpaint.holdBefore = (on) => {
    held = on;
    $("#compare .compare")?.classList.toggle("before", on);
  };
  /* By so many variations further, from the last to the first. */
  varpaint.flip = (by) => {
    const data = current(), items = document.querySelectorAll("#results .thumbnail-item");
    if (!data || items.length < 2) return false;
    items[(Number(data.number) - 1 + by + items.length) % items.length]?.click();
    return true;
  };

  function bar() {
    let bar = $("#flip");
    if (!bar && $("#easel")) {
      bar = document.createElement("div");
      bar.id = "flip";
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", "Results");
      bar.innerHTML = ""
        + '<button type="button" data-by="-1" aria-label="Previous result" title="Previous (←)">‹</button>'
        + "<output></output>"
        + '<button type="button" data-by="1" aria-label="Next result" title="Next (→)">›</button>'
        + '<button type="button" class="split" aria-pressed="false" title="Before and after, divided by a line to drag">Compare</button>'
        + '<button type="button" class="toggle" aria-pressed="false" title="Before the edit (hold C)">Before</button>'
        + '<button type="button" class="use" title="Go on from this result (U)">Use this</button>';
      $("#easel").append(bar);
    }
    return bar;
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#flip button");
    if (!button) return;
    if (button.dataset.by) varpaint.flip(Number(button.dataset.by));
    else if (button.classList.contains("toggle")) looking = !looking;
    else if (button.classList.contains("split")) {
      comparing = !comparing || !looking;
      looking ||= comparing;
    }
    else if ($("#use-result:not(:disabled)")) $("#use-result").click();
  });
  // ---- before and after, divided by a line ----------------------------------------------------
  document.addEventListener("input", (event) => {
    const slider = event.target.closest?.("#compare input[type=range]");
    slider?.closest(".compare").style.setProperty("--at", `${slider.value}%`);
  });
  let line = null; // the figure whose line a hand drags
  window.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.target.matches?.("#compare i")) return;
    varpaint.stop(event);
    line = event.target.closest(".compare");
    try { event.target.setPointerCapture(event.pointerId); } catch { /* a synthetic pointer */ }
  }, true);
  window.addEventListener("pointermove", (event) => {
    if (!line) return;
    const { left, width } = line.getBoundingClientRect(), slider = line.querySelector("input");
    slider.value = (100 * (event.clientX - left)) / width;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }, true);
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => { line = null; }, true);
  /* The line lies over the canvas, on the result. */
  function compare(place) {
    const on = Boolean(place) && comparing, home = $("#compare"), easel = $("#easel");
    $("#stage")?.toggleAttribute("data-comparing", on);
    const figure = on && home?.querySelector(".compare");
    if (!figure) return;
    Object.assign(home.style, {
      left: `${easel.offsetLeft}px`, top: `${easel.offsetTop}px`, width: `${easel.offsetWidth}px`, height: `${easel.offsetHeight}px`,
    });
    Object.assign(figure.style, place);
  }
  /* A hand that paints, paints on the picture. */
  window.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.target === $("#canvas.filled .pixi-target canvas") && varpaint.paints()) looking = comparing = false;
  }, true);

  /* Where the variation lies over the canvas. */
  function placed(box, data) {
    const width = Number($("#facts").dataset.width), height = Number($("#facts").dataset.height);
    const [left, top, right, bottom] = data.add.split(" ").map(Number);
    const x = box.width / width, y = box.height / height;
    return {
      left: `${box.left - left * x}px`, top: `${box.top - top * y}px`,
      width: `${box.width + (left + right) * x}px`, height: `${box.height + (top + bottom) * y}px`,
    };
  }
  let image = null;
  varpaint.tickSeen = () => {
    const data = current();
    const key = data ? `${data.url} ${data.version} ${data.number} ${data.looking}` : "";
    if (key !== told) {
      told = key;
      looking = data?.looking === "1";
    }
    const pill = bar();
    if (!pill) return;
    varpaint.hide(pill, !data);
    if (data) {
      const of = `${data.number} of ${data.count}`;
      if (pill.querySelector("output").textContent !== of) pill.querySelector("output").textContent = of;
      pill.classList.toggle("one", data.count === "1");
      pill.toggleAttribute("data-alone", data.alone === "1");
      pill.querySelector(".toggle").setAttribute("aria-pressed", String(!looking));
      pill.querySelector(".split").setAttribute("aria-pressed", String(comparing && looking));
    }
    const alone = data?.alone === "1", box = data && !alone ? varpaint.pictureBox() : null;
    const place = box && looking ? placed(box, data) : null;
    compare(place);
    if (!data || !looking || held || (!box && !alone)) {
      image?.remove();
      image = null;
      return;
    }
    if (!image) {
      image = document.createElement("img");
      image.className = "seen";
      image.alt = "The chosen result";
      $("#easel").append(image);
    }
    if (image.getAttribute("src") !== data.url) image.src = data.url;
    image.classList.toggle("alone", alone);
    if (alone) return image.removeAttribute("style");
    Object.assign(image.style, place);
  };
})();
