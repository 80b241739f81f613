/* Strokes that come back: where the canvas turns to a picture that it had before, with what was painted
   on it then, as when "Use this" is undone, the strokes can be undone one by one as before. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const MOST = 40; // strokes of a picture
  const PICTURES = 6; // that are remembered
  const ALIKE = 0.005; // part of the pixels that may differ: edges are smoothed on the way
  const kept = new Map(); // by the picture's address: [{ depth, png }], `depth` strokes are done

  /* How many steps the editor can undo. */
  function depth() {
    let count = 0;
    for (let at = window.editor?.command_manager?.history; at?.previous; at = at.previous) count++;
    return count;
  }
  /* What is painted now; called a moment after it changed. */
  varpaint.remember = ({ png }) => {
    const key = varpaint.pictureUrl(), now = depth();
    if (!key || varpaint.restoring) return;
    const before = (kept.get(key) ?? []).filter((one) => one.depth < now).slice(-MOST);
    kept.delete(key); // and comes last
    kept.set(key, [...before, { depth: now, png }]);
    for (const old of [...kept.keys()].slice(0, -PICTURES)) kept.delete(old);
  };

  async function sheet(png) {
    const image = new Image();
    image.src = png;
    await image.decode();
    const { canvas, pen } = varpaint.shapes.sheet();
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    pen.globalCompositeOperation = "source-in";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 3; at < pixels.data.length; at += 4) pixels.data[at] = pixels.data[at] ? 255 : 0;
    pen.putImageData(pixels, 0, 0);
    return { canvas, data: pixels.data };
  }
  function alike(one, other) {
    let differ = 0;
    for (let at = 3; at < one.length; at += 4) differ += one[at] !== other[at];
    return differ <= (ALIKE * one.length) / 4;
  }
  async function restore(steps) {
    const [now, last] = [varpaint.mask(), steps.at(-1)];
    varpaint.restoring = true;
    try {
      const sheets = await Promise.all(steps.map((one) => sheet(one.png)));
      if (!now || !alike((await sheet(now.png)).data, sheets.at(-1).data)) return;
      const begun = steps[0].depth === 0 ? sheets.shift().canvas : varpaint.shapes.sheet().canvas;
      await varpaint.shapes.stamp(begun, false, true);
      window.editor.command_manager.reset();
      for (const { canvas } of sheets) await varpaint.shapes.stamp(canvas, false, true);
      let at = steps[0].depth === 0 ? 0 : 1;
      for (const one of steps) one.depth = at++;
    } finally {
      varpaint.restoring = false;
      varpaint.remember(now ?? last);
    }
  }
  /* A picture is on the canvas. */
  varpaint.recallStrokes = () => {
    if (!$("#canvas.filled.masked")) return;
    const steps = kept.get(varpaint.pictureUrl());
    const now = steps ? null : varpaint.mask();
    if (now) varpaint.remember(now); // it begins with this
    else if (steps?.some((one) => one.depth > 0)) restore(steps);
  };
})();
