/* The ImageEditor of gradio 6.31, which leaves itself at window.editor: when it can be painted on, and
   what it costs where no graphics card draws it. What needs it is skipped where it is not. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;

  // ---- when the canvas can be painted on ----------------------------------------------------
  /* Given a new value, the editor loads the picture and its layers up to twice, and what is painted
     in between is lost. So until a version of the canvas is ready, each is loaded once. */
  const loads = { pictures: 0, layers: 0, under: 0, last: 0, once: new Map(), given: {}, mended: 0 };
  const counted = { add_image_from_url: "pictures", add_layers_from_url: "layers" };
  /* A layer that comes before the editor took on the picture's size is put in the wrong place; and
     one of a blank canvas that the editor left in its container keeps it from taking that on. */
  async function fitting(editor) {
    const size = $("#canvas")?.className.match(/size-(\d+)x(\d+)/);
    const container = editor.image_container, manager = editor.layer_manager;
    for (let tries = 0; size && tries < 300; tries++) {
      const known = new Set(manager?.layers?.map((layer) => layer.container));
      for (const child of [...(container?.children ?? [])]) {
        if (manager?.background_layer && child !== manager.background_layer && !known.has(child)) {
          container.removeChild(child);
        }
      }
      const bounds = container?.getLocalBounds();
      if (bounds && Math.abs(bounds.width - size[1]) < 1 && Math.abs(bounds.height - size[2]) < 1) return;
      await new Promise((done) => setTimeout(done, 16));
    }
  }
  /* At every change of the page, many times a run, Gradio asks the editor for its value: pictures
     that are drawn and packed, or while nothing is painted fetched from the server, and sent to it.
     Nobody reads them; what is painted goes its own way. */
  const nothing = async () => ({ background: null, layers: [], composite: null });
  const given = new Set(); // where the editor's pictures came from; it draws them by another way
  const fetched = window.fetch;
  window.fetch = function (what, ...options) {
    if (given.has(what)) return Promise.reject(new TypeError("nobody reads the canvas's value"));
    return fetched.call(this, what, ...options);
  };
  let editor_ = window.editor;
  Object.defineProperty(window, "editor", {
    configurable: true,
    get: () => editor_,
    set(editor) {
      editor_ = editor;
      loads.once.clear();
      loads.given = {};
      if (!editor) return;
      editor.get_blobs = nothing;
      const kind = Object.getPrototypeOf(editor);
      kind.loadOwn ??= kind.add_image_from_url;
      kind.add_image_from_url = nothing; // there is a second editor, for a crop that nobody is offered
      for (const [name, count] of Object.entries(counted)) {
        const load = (name === "add_image_from_url" ? kind.loadOwn : kind[name]).bind(editor);
        editor[name] = (what) => {
          loads.given[count] = what;
          [what].flat().forEach((url) => given.add(url));
          const key = name + JSON.stringify(what);
          loads.last = performance.now();
          if (!loads.once.has(key)) {
            loads.under++;
            const sized = name === "add_layers_from_url" ? fitting(editor) : Promise.resolve();
            const loading = sized.then(() => load(what)).finally(() => {
              loads.under--;
              loads[count]++;
              loads.last = performance.now();
            });
            loads.once.set(key, loading);
          }
          return loads.once.get(key);
        };
      }
    },
  });

  /* Whether the editor took on the picture's size. Where the page is busy, as with a run that goes on
     over a refresh, its blank canvas may come after the picture; then both are given to it again. */
  const AGAIN = 700; // milliseconds between two tries
  function sized(editor, canvas) {
    const [, width, height] = canvas.className.match(/size-(\d+)x(\d+)/) ?? [];
    if (!width || (editor.width === Number(width) && editor.height === Number(height))) return true;
    if (performance.now() - loads.mended > AGAIN && loads.given.pictures) {
      const { pictures, layers } = loads.given;
      loads.mended = performance.now();
      loads.once.clear();
      Promise.resolve(editor.add_image_from_url(pictures)).then(() => layers?.length && editor.add_layers_from_url(layers));
    }
    return false;
  }

  /* The drawing fills its place: the editor may miss that this has grown. */
  function fill() {
    const place = $("#canvas.filled .pixi-target"), editor = window.editor;
    const screen = editor?.app?.renderer?.screen; // none where it was destroyed
    if (!place?.clientWidth || !screen || $("#easel").classList.contains("settling")) return;
    if (Math.abs(place.clientWidth - screen.width) < 2 && Math.abs(place.clientHeight - screen.height) < 2) return;
    editor.resize_canvas(place.clientWidth, place.clientHeight);
    varpaint.fitPicture();
    varpaint.refit();
  }

  const SETTLED = 120; // milliseconds without another load
  function ready() {
    const canvas = $("#canvas"), mount = canvas?.className.match(/version-(\d+)/)?.[1];
    if (mount === undefined) return;
    if (canvas.dataset.mount === mount) {
      turn(canvas);
      return;
    }
    if (loads.version !== mount) {
      loads.version = mount;
      loads.since = performance.now();
      $("#easel").classList.add("settling"); // strokes would be lost
    }
    const editor = window.editor;
    const late = performance.now() - loads.since > 8000; // rather lose a stroke than all
    if (!late && (!editor?.image_container || !canvas.querySelector(".pixi-target canvas"))) return;
    if (!late && canvas.classList.contains("filled")) {
      if (!loads.pictures || loads.under || performance.now() - loads.last < SETTLED) return;
      if (canvas.classList.contains("masked") && !loads.layers) return;
      if (editor.current_tool !== "draw" || !sized(editor, canvas)) return;
      editor.command_manager?.reset(); // or its undo takes the picture away
    }
    loads.pictures = loads.layers = 0;
    loads.once.clear();
    canvas.dataset.mount = mount;
    settle(canvas, mount, canvas.classList.contains("masked"));
  }
  function settle(canvas, version, masked) {
    canvas.dataset.ready = version;
    canvas.dataset.masked = masked ? "1" : "";
    $("#easel").classList.remove("settling");
    varpaint.refit();
    varpaint.mounted();
    varpaint.recallStrokes();
  }

  // ---- a picture of the same size -----------------------------------------------------------
  /* It takes the place of the one on the canvas, with what is painted on it. One of another size, which
     the editor itself takes in (wiring.py), needs a second where no graphics card draws. */
  let turning = false, turned = null; // whether it does; the texture that it came with
  async function turn(canvas) {
    const facts = { ...$("#facts")?.dataset };
    if (turning || !facts.version || facts.version === canvas.dataset.ready) return;
    const editor = window.editor, sprite = editor?.background_image;
    if (!canvas.classList.contains(`size-${facts.shown}`) || !sprite || performance.now() - loads.mended < AGAIN) return;
    if (!sized(editor, canvas)) return;
    turning = true;
    $("#easel").classList.add("settling");
    try {
      const { loaded, painted, replace } = varpaint.shapes;
      const [picture, mask] = await Promise.all([loaded(facts.picture), facts.mask ? loaded(facts.mask) : null]);
      if (window.editor !== editor || sprite.destroyed) return; // one of another size came between
      const now = Object.getPrototypeOf(painted().texture.constructor).from(picture);
      sprite.texture = now;
      turned?.destroy(true);
      turned = now;
      replace(mask);
      editor.command_manager?.reset();
      settle(canvas, facts.version, Boolean(mask));
    } catch {
      loads.mended = performance.now(); // the server did not answer, say: once more, a little later
    } finally {
      turning = false;
    }
  }

  let ground = "";
  function paintGround() { // the editor's ground in the page's colour, also when the theme changes
    const easel = $("#easel");
    const background = window.editor?.app?.renderer?.background;
    if (!easel || !background) return;
    const key = `${getComputedStyle(easel).backgroundColor} ${$("#canvas")?.className}`;
    if (key === ground) return;
    ground = key;
    background.color = key.split(" ").slice(0, 3).join(" ");
    window.editor.wake_render_loop?.();
  }
  /* Where the processor draws the page too, every frame of the canvas is taken from the model. */
  const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
  const FEW = 30; // frames a second
  const STOPS = 150; // milliseconds after the last change
  let drawn = null;
  function drawnBySoftware() {
    if (drawn === null) {
      const gl = document.createElement("canvas").getContext("webgl");
      const names = gl?.getExtension("WEBGL_debug_renderer_info");
      drawn = SOFTWARE.test(names ? gl.getParameter(names.UNMASKED_RENDERER_WEBGL) : "");
      gl?.getExtension("WEBGL_lose_context")?.loseContext();
    }
    return drawn;
  }
  /* The editor's shader looks into as many textures as it may at each pixel, and each pixel is drawn
     four times to smooth edges. A graphics card has that for nothing, a processor has not. */
  const context = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, wanted) {
    const ragged = kind === "webgl2" && wanted?.antialias && drawnBySoftware();
    return context.call(this, kind, ragged ? { ...wanted, antialias: false } : wanted);
  };
  for (const kind of [window.WebGLRenderingContext, window.WebGL2RenderingContext]) {
    const parameter = kind?.prototype.getParameter;
    if (!parameter) continue;
    kind.prototype.getParameter = function (name) {
      return name === this.MAX_TEXTURE_IMAGE_UNITS && drawnBySoftware() ? 1 : parameter.call(this, name);
    };
  }
  let eased = null, household = null;
  function ease() {
    const editor = window.editor, app = editor?.app;
    if (editor === eased || !app?.renderer || !editor.outline_graphics) return;
    eased = editor;
    const zoom = editor.tools?.get("zoom"), zoomTo = zoom?.set_zoom?.bind(zoom);
    if (zoomTo) { // to the picture, also by itself; an extension is to be in sight, too
      zoom.set_zoom = (...to) => {
        varpaint.refit();
        return zoomTo(...to);
      };
    }
    editor.outline_container.visible = false; // a hairline around the picture
    editor.outline_graphics.filters = []; // a blurred shadow, drawn anew in every frame
    household = app.ticker.constructor.system; // what tidies up; by itself it wakes the page 60 times a second
    if (household) household.autoStart = false;
    household?.stop();
    if (!drawnBySoftware()) return;
    app.ticker.maxFPS = FEW;
    app.ticker.add(() => { editor.render_idle_remaining = Math.min(editor.render_idle_remaining, STOPS); });
  }

  /* Where the picture on the canvas comes from. */
  varpaint.pictureUrl = () => $("#facts")?.dataset.picture;

  varpaint.tickEditor = () => {
    ease();
    household?.update();
    ready();
    fill();
    paintGround();
  };
})();
