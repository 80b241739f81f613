/* The Run button: it rests where there is nothing to run and says why; the runs' names; and "Run on
   release", which presses it when a stroke is done. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const value = (id) => ($(`#${id} input, #${id} textarea`)?.value ?? "").trim();
  const task = () => $("#task input:checked")?.value;
  const chosen = () => varpaint.labelled();

  /* Why nothing can be run now, in a few words; empty where something can. */
  function reason() {
    const filled = Boolean($("#canvas.filled"));
    const regions = Boolean($("#regions .regions"));
    if (task() === "generate") return chosen() ? "" : "Choose a class first";
    if (!filled) return "Open a picture first";
    if ($("#easel")?.classList.contains("settling")) return "";
    if (task() === "outpaint") {
      const any = ["left", "right", "top", "bottom"].some((side) => !/^0*%?$/.test(value(`extend-${side}`)));
      return any ? "" : "Say how far to extend";
    }
    if (!varpaint.anyPainted() && !(task() === "edit_class" && regions)) return "Paint over something first";
    return task() === "edit_class" && !chosen() && !regions ? "Choose a class first" : "";
  }
  varpaint.tickRun = () => {
    const run = $("#run");
    if (!run) return;
    const why = reason(), running = Boolean($("#cancel:not(:disabled)"));
    const rests = running || Boolean(why);
    if (run.disabled !== rests) run.disabled = rests;
    const told = running ? "" : why;
    if ((run.dataset.why ?? "") !== told) {
      run.dataset.why = told;
      run.title = told || "Run (Ctrl+Enter)";
    }
  };

  /* The name of a run, made here so that no answer has to be waited for: Cancel says it. */
  let ticket = "";
  varpaint.withTicket = (_, ...values) => {
    ticket = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return [ticket, ...values];
  };
  varpaint.ofTicket = (known, ...values) => [ticket || known, ...values]; // known: of a run that was left

  /* On a phone the form lies below the canvas, and Run over both: whoever presses it sees what is
     drawn, down to the bar of the results. */
  window.addEventListener("click", (event) => {
    const easel = $("#easel"), foot = $("#go");
    if (!event.target.closest?.("#run, #more") || !easel || !foot) return;
    if (getComputedStyle(foot).position !== "fixed") return;
    const { top, bottom } = easel.getBoundingClientRect(), room = foot.getBoundingClientRect().top - 8;
    if (top < 0 || bottom > room) window.scrollBy(0, bottom - top > room ? top : bottom - room);
  }, true);

  // ---- run on release -----------------------------------------------------------------------
  let wanted = false;
  document.addEventListener("change", (event) => {
    if (event.target.id === "auto-run") wanted = event.target.checked;
  });
  const PAINTS = new Set(["brush", "rectangle", "lasso"]);
  window.addEventListener("pointerup", () => {
    if (!wanted || task() !== "inpaint" || !PAINTS.has(varpaint.hand()) || !varpaint.stroking?.()) return;
    const until = performance.now() + 2000;
    const press = () => { // once the editor has taken the stroke in
      if ($("#run:not(:disabled)") && varpaint.anyPainted(true)) $("#run").click();
      else if (performance.now() < until) setTimeout(press, 50);
    };
    setTimeout(press, 50);
  }, true);
})();
