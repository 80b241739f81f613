/* Strokes that come back: where the canvas turns to a picture that it had before, with what was painted
   on it then, as when "Use this" is undone, the strokes can be undone one by one as before. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const MOST = 40; // strokes of a picture
  const PICTURES = 6; // that are remembered
  const SEEN = 80; // milliseconds
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

  /* A stroke of then, which is on the canvas again already: what the editor's undo calls a command. */
  class Again {
    constructor(before, after) {
      this.name = "Draw";
      this.before = before; // addresses of pictures; null for nothing painted
      this.after = after;
      this.there = true;
    }

    async execute() {
      if (!this.there) await this._show(this.after);
      this.there = false;
    }

    undo() {
      return this._show(this.before);
    }

    async _show(png) {
      varpaint.shapes.replace(png && await varpaint.shapes.loaded(png));
    }
  }

  /* The strokes that led to what is painted now. */
  async function restore(key) {
    const now = key === varpaint.pictureUrl() && !depth() && varpaint.mask();
    if (!now) return;
    const steps = kept.get(key);
    if (steps?.at(-1).png === now.png && steps.at(-1).depth > 0) {
      if (steps[0].depth > 0) steps.unshift({ png: null }); // or it begins with what was painted before them
      const { command_manager: manager, context } = window.editor;
      for (let at = 1; at < steps.length; at++) await manager.execute(new Again(steps[at - 1].png, steps[at].png), context);
      steps.forEach((one, at) => { one.depth = at; });
    }
    varpaint.remember(now);
  }
  /* A picture is on the canvas, with what was painted on it: first that is seen. */
  varpaint.recallStrokes = () => {
    if ($("#canvas.filled")?.dataset.masked !== "1") return;
    const key = varpaint.pictureUrl();
    varpaint.restoring = kept.get(key)?.at(-1).depth > 0; // nothing waits where nothing comes back
    setTimeout(() => {
      varpaint.restoring = false;
      restore(key);
    }, SEEN);
  };
})();
