/* Real pixels: a large picture is shown by a smaller copy; where it is magnified, what is in sight comes
   in full from the server. Of the picture it is put under what is painted, of a result over it. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const RESTS = 250; // milliseconds without a move, before it is asked for
  const MORE = 1.05; // screen pixels that a pixel of the copy must have
  let seen = "", since = 0, asked = "", answered = "";
  let tile = null; // what is shown: { sprite or image, of, box }

  /* What is in sight of the picture or of the result over it, in parts of its sides; null if the copy
     has all that the screen can show. */
  function sight() {
    const facts = $("#facts")?.dataset, easel = $("#easel"), place = varpaint.shownPlace?.();
    if (!facts || !place || !window.editor?.width || easel.classList.contains("settling")) return null;
    const wide = Number(facts.width) * place.grown;
    const copy = Math.min(wide, window.editor.width < Number(facts.width) || wide > 2048 ? 2048 : wide);
    if (wide <= copy || (place.width / copy) * (window.devicePixelRatio || 1) < MORE) return null;
    const part = (from, length, room) => [Math.max(0, -from / length), Math.min(1, (room - from) / length)];
    const [left, right] = part(place.left, place.width, easel.clientWidth);
    const [top, bottom] = part(place.top, place.height, easel.clientHeight);
    if (right - left < 0.001 || bottom - top < 0.001) return null;
    const screen = Math.ceil((right - left) * place.width * (window.devicePixelRatio || 1));
    return { box: [left, top, right, bottom].map((side) => Math.round(side * 1e5) / 1e5), number: place.number, screen };
  }
  const of = () => `${$("#facts")?.dataset.version} ${varpaint.shownPlace?.()?.number}`;

  function drop() {
    tile?.image?.remove();
    if (tile?.sprite && !tile.sprite.destroyed) {
      tile.sprite.parent?.removeChild(tile.sprite);
      tile.sprite.destroy({ texture: true, textureSource: true });
      window.editor?.wake_render_loop?.();
    }
    tile = null;
  }
  async function show(answer) {
    const image = new Image();
    image.src = answer.url;
    image.className = "sharp";
    image.alt = "";
    await image.decode();
    if (answer.of !== of()) return;
    drop();
    tile = { of: answer.of, box: JSON.parse(answer.box) };
    const found = varpaint.shapes.painted(), ground = window.editor?.layer_manager?.background_layer;
    if (answer.number !== "0" || !found || !ground) {
      tile.image = image;
      $("#easel").append(image);
      return;
    }
    const Sprite = found.layer.container.children[0].constructor;
    const Texture = Object.getPrototypeOf(found.texture.constructor);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    const sprite = (tile.sprite = new Sprite(Texture.from(canvas)));
    const [left, top, right, bottom] = tile.box, { width, height } = window.editor;
    Object.assign(sprite, { x: left * width, y: top * height, width: (right - left) * width, height: (bottom - top) * height });
    const real = (varpaint.shownPlace().width * (window.devicePixelRatio || 1)) / Number($("#facts").dataset.width);
    if (real > 0.99) sprite.texture.source.scaleMode = "nearest"; // pixels, as they are
    ground.addChild(sprite);
    window.editor.wake_render_loop?.();
  }
  varpaint.tickSharp = () => {
    if (tile && tile.of !== of()) drop();
    if (tile?.image) {
      const place = varpaint.shownPlace(), [left, top, right, bottom] = tile.box;
      Object.assign(tile.image.style, {
        left: `${place.left + left * place.width}px`, top: `${place.top + top * place.height}px`,
        width: `${(right - left) * place.width}px`, height: `${(bottom - top) * place.height}px`,
      });
    }
    const answer = $("#sharp")?.dataset;
    if (answer && answer.id !== answered) {
      answered = answer.id;
      show({ ...answer }).catch(() => {}); // of a page that is left
    }
    const now = sight(), key = now ? `${of()} ${JSON.stringify(now)}` : "";
    if (key !== seen) {
      seen = key;
      since = performance.now();
    }
    if (!now || key === asked || performance.now() - since < RESTS) return;
    asked = key;
    varpaint.send("look", now);
  };
})();
