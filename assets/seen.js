/* The chosen variation over the canvas, at full size: flip through them, look at what was before.
   The server says which one it is in #seen (app/markup.py); painting takes it away. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  let looking = false, held = false, told = "";

  const running = () => Boolean($("#cancel:not(:disabled)"));
  /* What the server says, if it is of the picture on the canvas. */
  function current() {
    const seen = $("#seen");
    if (!seen || running()) return null;
    const filled = $("#canvas.filled");
    if (seen.dataset.alone === "1" && !filled) return seen.dataset;
    return filled && (seen.dataset.alone === "1" || seen.dataset.version === $("#facts")?.dataset.version) ? seen.dataset : null;
  }

  varpaint.looking = () => (current() ? (looking ? "1" : "0") : "");
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
      bar.innerHTML = '<button type="button" data-by="-1" aria-label="Previous result" title="Previous (←)">‹</button>'
        + "<output></output>"
        + '<button type="button" data-by="1" aria-label="Next result" title="Next (→)">›</button>'
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
    else if ($("#use-result:not(:disabled)")) $("#use-result").click();
  });
  document.addEventListener("input", (event) => {
    const slider = event.target.closest?.("#compare input[type=range]");
    slider?.closest(".compare").style.setProperty("--at", `${slider.value}%`);
  });
  /* A hand that paints, paints on the picture. */
  window.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.target === $("#canvas.filled .pixi-target canvas") && varpaint.paints()) looking = false;
  }, true);

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
    pill.hidden = !data;
    if (data) {
      const of = `${data.number} of ${data.count}`;
      if (pill.querySelector("output").textContent !== of) pill.querySelector("output").textContent = of;
      pill.classList.toggle("one", data.count === "1");
      pill.querySelector(".toggle").setAttribute("aria-pressed", String(!looking));
    }
    const alone = data?.alone === "1", box = data && !alone ? varpaint.pictureBox() : null;
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
    const width = Number($("#facts").dataset.width), height = Number($("#facts").dataset.height);
    const [left, top, right, bottom] = data.add.split(" ").map(Number);
    const x = box.width / width, y = box.height / height;
    Object.assign(image.style, {
      left: `${box.left - left * x}px`, top: `${box.top - top * y}px`,
      width: `${box.width + (left + right) * x}px`, height: `${box.height + (top + bottom) * y}px`,
    });
  };
})();
