/* What is painted: the editor's layer, shapes on it, and what the page reads of it. Its classes are
   taken from the objects that it made (gradio 6.31). */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const COLOURS = ["#ff2d78", "#00c853", "#00b8d4", "#ffd600"]; // the first as in app/canvas.py
  let colour = COLOURS[0];
  try {
    const chosen = localStorage.getItem("varpaint-mask-colour");
    if (COLOURS.includes(chosen)) colour = chosen;
  } catch { /* private window */ }
  const OPACITY = 0.55;
  const SENT_SIDE = 640; // pixels of the mask that the server gets to say what the model sees

  // ---- shapes on the painted layer --------------------------------------------------------------
  function painted() {
    const manager = window.editor?.layer_manager;
    const layers = manager?.get_layers() ?? [];
    const layer = layers.find((one) => one.container === manager.get_active_layer()) ?? layers[0];
    const texture = layer && manager.get_layer_textures(layer.id)?.draw;
    return texture ? { layer, texture } : null;
  }

  /* One shape put on the layer, or taken off it: what the editor's undo calls a command. */
  class Stamp {
    constructor(shape, take, whole) {
      this.name = "Draw";
      this.shape = shape; // a canvas of the picture's size
      this.take = take;
      this.whole = whole; // in the place of all that is painted
      this.before = null;
    }

    async execute() {
      const { layer, texture } = painted();
      const Sprite = layer.container.children[0].constructor;
      const RenderTexture = texture.constructor;
      const Texture = Object.getPrototypeOf(RenderTexture);
      const renderer = window.editor.app.renderer;
      if (!this.before) {
        this.before = RenderTexture.create({
          width: texture.width, height: texture.height, resolution: window.devicePixelRatio || 1,
        });
        renderer.render({ container: this._alone(new Sprite(texture)), target: this.before, clear: true });
      }
      const sprite = new Sprite(Texture.from(this.shape));
      // A layer has the screen's pixels: smoothed edges would be erased by half, and half of a half stay.
      sprite.texture.source.scaleMode = "nearest";
      sprite.width = texture.width;
      sprite.height = texture.height;
      if (this.whole) {
        sprite.alpha = OPACITY;
        renderer.render({ container: this._alone(sprite), target: texture, clear: true });
        sprite.texture.destroy(true);
        return;
      }
      sprite.blendMode = "erase"; // first, or what overlaps would get twice the colour
      renderer.render({ container: this._alone(sprite), target: texture, clear: false });
      if (!this.take) {
        sprite.blendMode = "normal";
        sprite.alpha = OPACITY;
        renderer.render({ container: this._alone(sprite), target: texture, clear: false });
      }
      sprite.texture.destroy(true);
    }

    async undo() {
      const { layer, texture } = painted();
      const Sprite = layer.container.children[0].constructor;
      const before = this._alone(new Sprite(this.before));
      window.editor.app.renderer.render({ container: before, target: texture, clear: true });
    }

    _alone(sprite) {
      const holder = new window.editor.image_container.constructor();
      holder.addChild(sprite);
      return holder;
    }
  }

  async function stamp(shape, take, whole = false) {
    const editor = window.editor;
    if (!painted()) return;
    await editor.command_manager.execute(new Stamp(shape, take, whole), editor.context);
    editor.tools?.get("brush")?.notify("change"); // the editor's own value is stale from now on
    editor.wake_render_loop?.();
  }

  function sheet() {
    const canvas = document.createElement("canvas");
    canvas.width = window.editor.width;
    canvas.height = window.editor.height;
    const pen = canvas.getContext("2d");
    pen.fillStyle = colour;
    return { canvas, pen };
  }

  // ---- the mask's colour, which a hand may change -----------------------------------------------
  function brushed() {
    window.editor?.tools?.get("brush")?.set_brush_color?.(colour);
    $("#stage")?.style.setProperty("--mask-now", colour);
  }
  /* What is painted takes on the colour; that is no step that could be undone. */
  async function recolour() {
    brushed();
    const mask = varpaint.mask();
    if (!mask || !painted()) return;
    const image = new Image();
    image.src = mask.png;
    await image.decode();
    if (!varpaint.mask() || Number($("#facts")?.dataset.version) !== mask.version) return;
    const { canvas, pen } = sheet();
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 3; at < pixels.data.length; at += 4) pixels.data[at] = pixels.data[at] ? 255 : 0;
    pen.putImageData(pixels, 0, 0);
    pen.globalCompositeOperation = "source-in";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    await new Stamp(canvas, false, true).execute();
    window.editor.wake_render_loop?.();
  }
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#settings .colour")) return;
    colour = COLOURS[(COLOURS.indexOf(colour) + 1) % COLOURS.length];
    try { localStorage.setItem("varpaint-mask-colour", colour); } catch { /* private window */ }
    recolour();
  });
  varpaint.coloured = () => { // a new editor is on the page
    brushed();
    if (colour !== COLOURS[0] && $("#canvas.filled.masked")) recolour();
  };

  // ---- a mask that the task does not use is pale ------------------------------------------------
  const PALE = 0.2;
  const unmasked = () => ["outpaint", "generate"].includes($("#task input:checked")?.value);
  function pale() {
    const editor = window.editor, opacity = unmasked() ? PALE : 1;
    for (const { container } of editor?.layer_manager?.get_layers() ?? []) {
      if (container.alpha === opacity) continue;
      container.alpha = opacity;
      editor.wake_render_loop?.();
    }
  }

  /* What a painted layer gives while it is in full colour. */
  varpaint.opaque = (container, read) => {
    const { alpha } = container;
    container.alpha = 1;
    try {
      return read();
    } finally {
      container.alpha = alpha;
    }
  };

  // ---- the mask, small, for the server to say what the model sees ------------------------------
  function smallMask() {
    const editor = window.editor;
    const found = painted();
    if (!found || !editor.width) {
      varpaint.outline(null);
      return "";
    }
    const resolution = Math.min(1, SENT_SIDE / Math.max(editor.width, editor.height));
    const Rectangle = editor.app.screen.constructor;
    const target = found.layer.container, frame = new Rectangle(0, 0, editor.width, editor.height);
    const { pixels, width, height } = varpaint.opaque(target, () =>
      editor.app.renderer.extract.pixels({ target, resolution, frame }));
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(width, height);
    let any = false;
    for (let i = 0; i < pixels.length; i += 4) {
      const on = pixels[i + 3] > 0;
      any ||= on;
      image.data[i] = image.data[i + 1] = image.data[i + 2] = on ? 255 : 0;
      image.data[i + 3] = 255;
    }
    pen.putImageData(image, 0, 0);
    varpaint.outline(any ? canvas : null);
    return any ? canvas.toDataURL("image/png") : "";
  }

  varpaint.shapes = { pale, painted, sheet, smallMask, stamp, unmasked };
})();
