/* varpaint's memory: what a page needs to go on after a refresh or a dropped connection.

   The server keeps pictures, history and results under a secret key; the page keeps that key, the
   form's fields and what is painted but not sent yet, in its tab's own storage. A tab that is
   duplicated begins with the same and goes its own way from there (app/store.py). */
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const varpaint = (window.varpaint ??= {});
  const PREFIX = "varpaint-";
  const SETTLE = 400; // milliseconds after a change of the mask

  const put = (name, value) => {
    try {
      if (value === null) sessionStorage.removeItem(PREFIX + name);
      else sessionStorage.setItem(PREFIX + name, value);
    } catch { /* no storage, or it is full: then a refresh begins anew */ }
  };
  const get = (name) => {
    try { return sessionStorage.getItem(PREFIX + name); } catch { return null; }
  };

  /* Called when the page opens, before the server is: everything it recalls. */
  let recalled = false;
  varpaint.recall = () => {
    let fields = null, mask = {};
    try { fields = JSON.parse(get("fields")); } catch { /* not ours */ }
    try { mask = JSON.parse(get("mask")) ?? {}; } catch { /* not ours */ }
    recalled = true;
    return [{ key: get("key"), fields, mask: mask.png ?? null, version: mask.version ?? null }];
  };

  /* Called with the form's fields when one of them changes. */
  varpaint.keep = (names, values) => {
    if (!$("#key [data-key]")) return []; // the form's first values, before ours came back
    put("fields", JSON.stringify(Object.fromEntries(names.map((name, at) => [name, values[at]]))));
    varpaint.ahead(values[names.indexOf("speed")] === "fast");
    return [];
  };

  // ---- what is painted ----------------------------------------------------------------------
  /* The painted layer as a PNG, with its version of the canvas; null if there is none. */
  varpaint.mask = () => {
    const version = Number($("#facts")?.dataset.version ?? -1);
    const ready = $("#canvas.filled")?.dataset.ready === String(version);
    if (!ready || varpaint.restoring || varpaint.awaited()) return null;
    const found = varpaint.shapes.whitened();
    if (!found) return null;
    return { version, png: found.png() };
  };

  /* The values of an event with what is painted put in at that place, after the canvas's version:
     when the canvas can be painted on, for a picture may just be coming. */
  const PATIENCE = 10000; // milliseconds
  varpaint.withMask = async (values, at) => {
    const until = performance.now() + PATIENCE;
    let mask = varpaint.mask();
    while (!mask && $("#canvas.filled") && performance.now() < until) {
      await new Promise((done) => setTimeout(done, 30));
      mask = varpaint.mask();
    }
    return values.map((value, index) => (index === at ? (mask ? `${mask.version} ${mask.png}` : "") : value));
  };

  let hooked = null;
  let timer = 0;
  function watch() {
    const key = $("#key [data-key]")?.dataset.key;
    if (key && recalled && get("key") !== key) put("key", key);
    const editor = window.editor;
    if (editor && editor !== hooked && editor.on) {
      hooked = editor;
      editor.on("change", () => {
        clearTimeout(timer);
        timer = setTimeout(save, SETTLE);
      });
    }
    setTimeout(watch, 250);
  }
  function save() {
    const mask = varpaint.mask();
    if (!mask) return;
    put("mask", JSON.stringify(mask));
    varpaint.remember(mask);
  }
  window.addEventListener("pagehide", () => {
    clearTimeout(timer);
    save();
  });
  watch();
})();
