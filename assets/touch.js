/* Fingers on the canvas: one paints (or moves the picture, with the pan tool), two zoom and move.

   The editor (gradio 6.31) takes touches as strokes at once. So the first finger's touch is kept back
   until it moves, lifts or has waited a moment, and a second one makes it part of a pinch. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const WAIT = 120; // milliseconds that a second finger has
  const SLOP = 6; // CSS pixels that the first may move meanwhile
  const LARGEST = 10; // the editor's own limit of its scale
  const TAKEN = 1000; // milliseconds in which the editor takes a stroke in
  let kept = null; // { event, timer }: the first finger's touch that the editor has not seen
  let pinch = null; // how fingers and picture lay when the last one came or went
  let spent = false; // a pinch is over when all fingers are up

  const target = () => $("#canvas.filled .pixi-target canvas");
  const stop = varpaint.stop;

  function middle(touches) {
    const rect = target().getBoundingClientRect(), [a, b = a] = touches;
    return {
      x: (a.clientX + b.clientX) / 2 - rect.left, y: (a.clientY + b.clientY) / 2 - rect.top,
      apart: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY),
    };
  }
  function hold(touches) {
    const place = window.editor.image_container.position;
    pinch = { ...middle(touches), scale: window.editor.scale_value, left: place.x, top: place.y };
  }

  /* What the editor should have seen; its time has come. */
  function release() {
    if (!kept) return;
    const { event } = kept;
    clearTimeout(kept.timer);
    kept = null;
    const again = new TouchEvent(event.type, {
      bubbles: true, cancelable: true, touches: [...event.touches], targetTouches: [...event.targetTouches],
      changedTouches: [...event.changedTouches],
    });
    again.released = true;
    event.target.dispatchEvent(again);
  }
  /* A stroke that the first finger began is no stroke. */
  function takeBack() {
    clearTimeout(kept?.timer);
    kept = null;
    varpaint.dropGesture();
    const brush = window.editor.tools?.get("brush");
    if (!brush?.is_drawing) return;
    const manager = window.editor.command_manager, before = manager.history, again = before.next;
    brush.on_pointer_up();
    const until = performance.now() + TAKEN;
    (function drop() { // once the editor has made a step of it
      const undo = manager.history !== before && $('#canvas button[aria-label="Undo"]:not([disabled])');
      if (!undo) return performance.now() < until && requestAnimationFrame(drop);
      undo.click();
      before.next = again; // nor one that Redo brings back
      manager.current_history.update(() => manager.history);
    })();
  }

  function begin(event) {
    if (event.released || event.target !== target()) return;
    const touches = [...event.touches];
    if (touches.length > 1 || varpaint.pans()) {
      stop(event);
      takeBack();
      hold(touches);
      spent = true;
    } else if (!varpaint.gesturing()) {
      stop(event);
      kept = { event, timer: setTimeout(release, WAIT) };
    }
  }
  function move(event) {
    if (event.target !== target()) return;
    if (kept) {
      const [from] = kept.event.touches, [to] = event.touches;
      if (Math.hypot(to.clientX - from.clientX, to.clientY - from.clientY) <= SLOP) return stop(event);
      release();
    }
    if (!spent) return;
    stop(event);
    if (!pinch) return;
    const now = middle([...event.touches]);
    const wanted = pinch.apart ? pinch.scale * (now.apart / pinch.apart) : pinch.scale;
    const scale = Math.min(LARGEST, Math.max(varpaint.smallest(), wanted));
    const grown = scale / pinch.scale;
    window.editor.set_image_properties({
      scale, animate: false,
      position: { x: now.x - (pinch.x - pinch.left) * grown, y: now.y - (pinch.y - pinch.top) * grown },
    });
    window.editor.wake_render_loop?.();
  }
  function end(event) {
    if (event.target !== target()) return;
    release(); // a tap
    if (!spent) return;
    stop(event);
    const left = [...event.touches];
    if (left.length) hold(left);
    else {
      pinch = null;
      spent = false;
    }
  }
  const options = { capture: true, passive: false };
  window.addEventListener("touchstart", begin, options);
  window.addEventListener("touchmove", move, options);
  window.addEventListener("touchend", end, options);
  window.addEventListener("touchcancel", end, options);
})();
