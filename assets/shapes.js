/* What is painted: the editor's layer, shapes on it, and what the page reads of it. Its classes are
   taken from the objects that it made (gradio 6.31). */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const COLOUR = "rgb(255, 45, 120)"; // as in app/canvas.py
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
    pen.fillStyle = COLOUR;
    return { canvas, pen };
  }

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
