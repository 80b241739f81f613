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
      const Sprite = layer.container.children[0].constructor, RenderTexture = texture.constructor;
      if (!this.before) {
        this.before = RenderTexture.create({
          width: texture.width, height: texture.height, resolution: window.devicePixelRatio || 1,
        });
        window.editor.app.renderer.render({ container: this._alone(new Sprite(texture)), target: this.before, clear: true });
      }
      this.draw();
    }

    /* The same as no step that could be undone. */
    draw() {
      const { layer, texture } = painted(), { renderer } = window.editor.app;
      const Sprite = layer.container.children[0].constructor;
      const sprite = new Sprite(Object.getPrototypeOf(texture.constructor).from(this.shape));
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

  /* In the place of all that is painted, the alpha of a picture, or nothing; no step to undo. */
  function replace(image) {
    const { renderer } = window.editor.app, { texture } = painted();
    if (image) new Stamp(filled(image).canvas, false, true).draw();
    else renderer.render({ container: new window.editor.image_container.constructor(), target: texture, clear: true });
    window.editor.wake_render_loop?.();
  }

  function sheet() {
    const canvas = document.createElement("canvas");
    canvas.width = window.editor.width;
    canvas.height = window.editor.height;
    const pen = canvas.getContext("2d");
    pen.fillStyle = colour;
    return { canvas, pen };
  }

  /* The brush's colour wherever a picture is not clear, at the picture's size: { canvas, data }. */
  function filled(image) {
    const { canvas, pen } = sheet();
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
    const words = new Uint32Array(pixels.data.buffer);
    for (let at = 0; at < words.length; at++) if (words[at]) words[at] = 0xffffffff;
    pen.putImageData(pixels, 0, 0);
    pen.globalCompositeOperation = "source-in";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    return { canvas, data: pixels.data };
  }

  /* A picture from its address, ready to be drawn. */
  async function loaded(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
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
    const image = await loaded(mask.png);
    if (!varpaint.mask() || Number($("#facts")?.dataset.version) !== mask.version) return;
    replace(image);
  }
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#settings .colour")) return;
    colour = COLOURS[(COLOURS.indexOf(colour) + 1) % COLOURS.length];
    try { localStorage.setItem("varpaint-mask-colour", colour); } catch { /* private window */ }
    recolour();
  });
  varpaint.coloured = () => { // a new editor is on the page
    brushed();
    if (colour !== COLOURS[0] && $("#canvas.filled")?.dataset.masked === "1") recolour();
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

  // ---- what is painted, for the page and the server ----------------------------------------------
  /* How often a texture was drawn on: whoever draws, does it by `render`. */
  const drawn = new WeakMap();
  function counting(renderer) {
    if (renderer.counts) return;
    const render = renderer.render.bind(renderer);
    renderer.render = (options, ...more) => {
      const target = options?.target;
      if (target) drawn.set(target, (drawn.get(target) ?? 0) + 1);
      return render(options, ...more);
    };
    renderer.counts = true;
  }

  /* The layer's own texture as it is: where no graphics card draws, to have it drawn once more for that
     takes half a second. Read anew only once something was drawn on it; null where nothing can be. */
  let read = {};
  function reading() {
    const editor = window.editor, found = painted();
    if (!found || !editor.width) return null;
    const { renderer } = editor.app, { texture } = found;
    const state = [drawn.get(texture), texture.width, texture.height].join();
    if (!renderer.counts || read.texture !== texture || read.state !== state) {
      counting(renderer);
      read = { texture, state, made: {}, ...renderer.extract.pixels(texture) };
    }
    return read;
  }

  /* White wherever a brush was, the rest clear or `ground`: { canvas, any, png }, no side longer than
     `side`; null where nothing can be painted on. */
  function whitened(side = Infinity, ground = "") {
    const editor = window.editor, from = reading();
    if (!from) return null;
    const scale = Math.min(1, side / Math.max(editor.width, editor.height));
    const size = [editor.width, editor.height].map((length) => Math.max(1, Math.round(length * scale)));
    return (from.made[`${size} ${ground}`] ??= whitenedTo(...size, from, ground));
  }
  function whitenedTo(across, down, { pixels, width, height }, ground) {
    const canvas = document.createElement("canvas");
    canvas.width = across;
    canvas.height = down;
    const pen = canvas.getContext("2d"), image = pen.createImageData(across, down);
    const from = new Uint32Array(pixels.buffer, pixels.byteOffset, width * height);
    const to = new Uint32Array(image.data.buffer);
    const columns = Uint16Array.from({ length: width }, (_, x) => (x * across) / width);
    let any = false;
    for (let y = 0, at = 0; y < height; y++) {
      const row = Math.floor((y * down) / height) * across;
      for (let x = 0; x < width; x++, at++) {
        if (!from[at]) continue;
        to[row + columns[x]] = 0xffffffff;
        any = true;
      }
    }
    pen.putImageData(image, 0, 0);
    pen.globalCompositeOperation = "destination-over";
    if (ground) pen.fillStyle = ground, pen.fillRect(0, 0, across, down);
    let url = "";
    return { canvas, any, png: () => (url ||= canvas.toDataURL("image/png")) };
  }

  /* The mask, small and on black, for the server to say what the model sees; empty for none. */
  function smallMask() {
    const small = whitened(SENT_SIDE, "black");
    varpaint.outline(small?.any ? small.canvas : null);
    return small?.any ? small.png() : "";
  }

  varpaint.shapes = { filled, loaded, pale, painted, replace, sheet, smallMask, stamp, unmasked, whitened };
})();
