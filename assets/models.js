/* The models: the dialog that offers them, the line that says what the bundled one can do, and a look
   at how far a download is, every second while one goes on or the dialog is open. The server writes
   the entries (app/catalogue.py); what changes of them takes the old ones' place here, so that the
   dialog stays open, and the focus where it is. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const EVERY = 1000; // milliseconds between two looks
  const DISMISSED = "varpaint-first-run";
  const dialog = () => $("#models");
  const entry = (name) => dialog()?.querySelector(`.entry[data-name="${CSS.escape(name)}"]`);

  /* One word at a time: what is asked before Gradio has read the last takes its place, and an answer
     takes the place of one that was not seen yet. */
  const PATIENCE = 3000; // milliseconds for an answer; then the next is sent
  const waiting = [];
  let number = 0, flying = 0, sent = 0;
  function send(...words) {
    waiting.push(words);
    next();
  }
  function next() {
    const field = $("#ask-models textarea, #ask-models input");
    if (flying && performance.now() - sent > PATIENCE) flying = 0;
    if (!field || flying || !waiting.length) return;
    [flying, sent] = [++number, performance.now()];
    field.value = [number, ...waiting.shift()].join(" ");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // ---- what the server says ------------------------------------------------------------------
  let shown = null, opened = "", using = null, wanted = "";
  function take(shelf) {
    const data = shelf.dataset;
    const box = dialog().querySelector(".entries");
    const fresh = [...shelf.firstElementChild.cloneNode(true).children];
    const before = new Map([...box.children].map((node) => [node.dataset.name, node]));
    const nodes = fresh.map((node) => {
      const old = before.get(node.dataset.name);
      if (!old) return node;
      renew(old, node);
      return old;
    });
    if (nodes.length !== box.children.length || nodes.some((node, at) => node !== box.children[at])) {
      box.replaceChildren(...nodes);
    }
    const room = dialog().querySelector(".room");
    room.textContent = data.room;
    room.hidden = !data.room;
    if (data.wrong && entry(data.wrong)) entry(data.wrong).querySelector(".refusal").textContent = data.words;
    if (wanted && data.using === wanted && using !== wanted) dialog().close(); // it is in use now
    if (data.using === wanted || data.wrong === wanted) wanted = "";
    using = data.using;
    if (data.open && data.open !== opened) {
      opened = data.open;
      open(data.open.split(" ")[0]);
    }
  }
  /* An entry as it is now, all but its error; a question that was asked stays. */
  function renew(old, now) {
    const at = old.contains(document.activeElement) ? document.activeElement.dataset.do : null;
    for (const part of ["h3", "dl", ".state", ".trouble"]) {
      const [was, is] = [old.querySelector(part), now.querySelector(part)];
      if (was.outerHTML !== is.outerHTML && !(part === ".state" && asking(old, now))) was.replaceWith(is);
    }
    const stays = ["aim", "asking"].filter((name) => old.classList.contains(name) && (name === "aim" || asking(old, now)));
    old.className = [now.className, ...stays].join(" ");
    if (at && !old.contains(document.activeElement)) {
      (old.querySelector(`.state [data-do="${at}"]`) ?? old.querySelector(".state button"))?.focus();
    }
  }
  const asking = (old, now) => old.classList.contains("asking") && Boolean(now.querySelector(".sure"));

  // ---- the dialog ----------------------------------------------------------------------------
  function open(name = "") {
    const box = dialog();
    if (!box.open) box.showModal();
    $("#models-title").focus({ preventScroll: true });
    box.querySelector(".list").scrollTop = 0;
    box.querySelector(".entry.aim")?.classList.remove("aim");
    const aim = name && entry(name);
    if (aim) {
      aim.classList.add("aim");
      aim.scrollIntoView({ block: "center" });
      aim.querySelector("button:not(:disabled)")?.focus({ preventScroll: true });
    }
    look();
  }
  document.addEventListener("click", (event) => {
    const target = event.target;
    if (target.closest?.("#model-note .note, #first-run .get")) open();
    if (target.closest?.("#first-run .close")) {
      try { localStorage.setItem(DISMISSED, "1"); } catch { /* private window: until the next page */ }
      $("#first-run").hidden = dismissed = true;
    }
    const box = dialog();
    if (target === box || target.closest?.("#models .close")) box.close(); // the desk around it, too
    const button = target.closest?.("#models [data-do]");
    if (button) press(button.dataset.do, button.closest(".entry"));
  });
  function press(what, of) {
    of.querySelector(".refusal").textContent = "";
    if (what === "ask") {
      of.classList.add("asking");
      of.querySelector("[data-do=keep]").focus();
      return;
    }
    if (what === "keep") {
      of.classList.remove("asking");
      of.querySelector("[data-do=ask]").focus();
      return;
    }
    of.classList.remove("asking");
    if (what === "use") wanted = of.dataset.name;
    of.classList.add("busy"); // until the server has answered
    send(what, of.dataset.name);
  }

  // ---- now and then --------------------------------------------------------------------------
  let looked = 0, dismissed = false;
  try { dismissed = localStorage.getItem(DISMISSED) !== null; } catch { /* private window */ }
  function look() {
    const shelf = $("#shelf");
    if (!shelf || document.hidden || flying || waiting.length) return;
    looked = performance.now();
    send("look", shelf.dataset.known);
  }
  function tick() {
    const shelf = $("#shelf");
    if (shelf && shelf.outerHTML !== shown && dialog()) {
      shown = shelf.outerHTML;
      take(shelf);
      if (Number(shelf.dataset.number) === flying) flying = 0;
    }
    next();
    const first = $("#first-run"), words = shelf?.dataset.first ?? "";
    if (first) {
      varpaint.hide(first, dismissed || !words);
      const line = first.querySelector("span");
      if (line && words && line.textContent !== words) line.textContent = words;
    }
    const news = $("#model-note .note b"), text = shelf?.dataset.news ?? "";
    if (news && news.textContent !== text) { // a phone has room for its number alone
      const [, name, part] = text.match(/^(.*) (\d+ %)$/) ?? [];
      const title = document.createElement("i");
      title.textContent = `${name} `;
      news.replaceChildren(...(text ? [title, part] : []));
    }
    const goes = shelf?.dataset.active === "1" || dialog()?.open;
    if (goes && performance.now() - looked > EVERY) look();
    setTimeout(tick, 200);
  }
  tick();
})();
