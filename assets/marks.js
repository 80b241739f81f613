/* What is painted, seen on every picture: an outline, light beside dark, and stripes. The editor's own
   strokes are of one colour, which some picture always has. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const FINER = 2; // pixels of the drawing for one of the small mask
  const STRIPE = 7; // pixels
  let sheet = null;

  function shape(mask, width, height) { // where the mask is white, in black; clear elsewhere
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [mask.width, mask.height];
    const pen = canvas.getContext("2d");
    pen.drawImage(mask, 0, 0);
    const image = pen.getImageData(0, 0, mask.width, mask.height);
    for (let at = 0; at < image.data.length; at += 4) {
      image.data[at + 3] = image.data[at];
      image.data[at] = image.data[at + 1] = image.data[at + 2] = 0;
    }
    pen.putImageData(image, 0, 0);
    const large = document.createElement("canvas");
    [large.width, large.height] = [width, height];
    large.getContext("2d").drawImage(canvas, 0, 0, width, height);
    return large;
  }
  /* The shape moved about by so many pixels, in one colour, without what it covers itself. */
  function ring(form, reach, colour) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [form.width, form.height];
    const pen = canvas.getContext("2d");
    for (let turn = 0; turn < 8; turn++) {
      pen.drawImage(form, reach * Math.cos((turn * Math.PI) / 4), reach * Math.sin((turn * Math.PI) / 4));
    }
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = colour;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.globalCompositeOperation = "destination-out";
    pen.drawImage(form, 0, 0);
    return canvas;
  }
  /* The mask (white on black, small) has changed; null where nothing is painted. */
  varpaint.outline = (mask) => {
    if (!mask) {
      sheet?.remove();
      sheet = null;
      return;
    }
    sheet ??= document.createElement("canvas");
    sheet.className = "marks";
    sheet.setAttribute("aria-hidden", "true");
    [sheet.width, sheet.height] = [mask.width * FINER, mask.height * FINER];
    const pen = sheet.getContext("2d"), form = shape(mask, sheet.width, sheet.height);
    pen.lineWidth = STRIPE;
    for (const [colour, first] of [["rgb(255 255 255 / 22%)", 0], ["rgb(0 0 0 / 22%)", 1]]) {
      pen.strokeStyle = colour;
      pen.beginPath();
      for (let x = -sheet.height + first * 2 * STRIPE; x < sheet.width; x += 4 * STRIPE) {
        pen.moveTo(x, sheet.height);
        pen.lineTo(x + sheet.height, 0);
      }
      pen.stroke();
    }
    pen.globalCompositeOperation = "destination-in";
    pen.drawImage(form, 0, 0);
    pen.globalCompositeOperation = "source-over";
    pen.drawImage(ring(form, 3, "rgb(16 17 22 / 75%)"), 0, 0);
    pen.drawImage(ring(form, 1.5, "#fff"), 0, 0);
    if (sheet.isConnected) return;
    varpaint.tickMarks(); // it has its place before it is seen
    $("#easel")?.append(sheet);
  };
  varpaint.tickMarks = () => {
    if (!sheet) return;
    const hidden = varpaint.shapes.unmasked() || varpaint.looking() === "1" || Boolean($("#cancel:not(:disabled)"))
      || !$("#canvas.filled") || $("#easel").classList.contains("settling");
    const box = hidden ? null : varpaint.pictureBox();
    varpaint.hide(sheet, !box);
    if (!box) return;
    Object.assign(sheet.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
  };
})();
