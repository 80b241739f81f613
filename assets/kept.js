/* Work that outlives its page. The server keeps it under the page's key (app/kept.py); this script
   remembers the last one for a new tab, and the file that was opened for when the server has lost
   it. After memory.js, whose tab storage it builds on. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $ } = varpaint;
  const LAST = "varpaint-last", EVERY = 1500, LARGEST = 128 << 20, DAYS = 7;
  const safely = (act) => { try { return act(); } catch { return null; } }; // no storage, or it is full
  const tab = (name) => safely(() => sessionStorage.getItem(`varpaint-${name}`));

  // ---- the last work, for a new tab -------------------------------------------------------------
  function last() {
    const found = safely(() => JSON.parse(localStorage.getItem(LAST)));
    return found && typeof found.key === "string" ? found : null;
  }
  function remember() {
    const key = $("#key [data-key]")?.dataset.key;
    if (!$("#facts") || !key) return;
    safely(() => sessionStorage.setItem("varpaint-had", "1"));
    safely(() => localStorage.setItem(LAST, JSON.stringify({ key, fields: tab("fields"), mask: tab("mask") })));
  }
  let left = null; // what was painted before the page was opened anew
  const recall = varpaint.recall;
  varpaint.recall = () => {
    const [known] = recall();
    left = known.mask;
    return [{ ...known, had: tab("had"), last: known.key && tab("had") ? null : last()?.key }];
  };

  // ---- the file that was opened, for when the server has lost it ---------------------------------
  const mine = tab("tab") ?? safely(() => {
    const name = crypto.getRandomValues(new Uint32Array(3)).join("-");
    sessionStorage.setItem("varpaint-tab", name);
    return name;
  });
  function files(mode, act) {
    return new Promise((done) => {
      const asked = safely(() => indexedDB.open("varpaint", 1));
      if (!asked || !mine) return done(null);
      asked.onupgradeneeded = () => asked.result.createObjectStore("files");
      asked.onerror = () => done(null);
      asked.onsuccess = () => {
        const store = asked.result.transaction("files", mode).objectStore("files");
        const wish = act(store);
        store.transaction.oncomplete = () => { done(wish?.result ?? null); asked.result.close(); };
        store.transaction.onerror = store.transaction.onabort = () => { done(null); asked.result.close(); };
      };
    });
  }
  function old(store) { // of tabs that were closed long ago
    store.openCursor().onsuccess = (event) => {
      const at = event.target.result;
      if (!at) return;
      if (Date.now() - at.value.then > DAYS * 864e5) at.delete();
      at.continue();
    };
  }
  const fieldOf = (name) => $(name)?.querySelector("input[type=file]")
    || $(name)?.previousElementSibling?.closest("input[type=file]") // beside it, for Gradio's upload buttons
    || $(name)?.parentElement?.querySelector(":scope > input[type=file]");
  window.addEventListener("change", (event) => {
    const file = event.target?.type === "file" && event.target === fieldOf("#open") ? event.target.files?.[0] : null;
    if (!file || file.size > LARGEST) return;
    files("readwrite", (store) => { old(store); return store.put({ file, then: Date.now() }, mine); });
  }, true);
  function give(field, file) {
    const bag = new DataTransfer();
    bag.items.add(file);
    field.files = bag.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // ---- what is offered --------------------------------------------------------------------------
  let offered = null;
  function ago(then) {
    const minutes = Math.max(0, Math.round((Date.now() / 1000 - then) / 60));
    const [count, unit] = minutes < 60 ? [minutes, "minute"] : minutes < 2880
      ? [Math.round(minutes / 60), "hour"] : [Math.round(minutes / 1440), "day"];
    return count ? `, ${count} ${unit}${count > 1 ? "s" : ""} ago` : "";
  }
  async function fill(offer) {
    const place = offer.querySelector("span");
    if (!offer.classList.contains("lost")) {
      place.textContent = ago(Number(offer.dataset.then));
      return;
    }
    const kept = await files("readonly", (store) => store.get(mine));
    const button = (what, text) => `<button type="button" data-do="${what}"></button>`.replace("></", `>${text}</`);
    const also = left ? ", with what was painted" : "";
    place.innerHTML = kept ? `This browser still has the photo as it was opened. ${button("again", `Open it again${also}`)}`
      : left ? `This browser still has what was painted. ${button("mask", "Save it as a mask")}` : "";
  }
  const painted = async () => new File([await (await fetch(left)).blob()], "mask.png", { type: "image/png" });
  async function again() {
    const kept = await files("readonly", (store) => store.get(mine));
    if (!kept) return;
    const mask = left && await painted(), before = $("#facts")?.dataset.version;
    give(fieldOf("#open"), kept.file);
    const until = performance.now() + 60000;
    const look = () => {
      const now = $("#facts")?.dataset.version;
      if (now !== before && $("#canvas.filled")?.dataset.ready === now) {
        if (mask) give(fieldOf("#import-mask"), mask);
      } else if (performance.now() < until) setTimeout(look, 100);
    };
    look();
  }
  document.addEventListener("click", async (event) => {
    const what = event.target.closest?.("#offer [data-do]")?.dataset.do;
    if (event.target.closest?.("#offer .close")) $("#offer").hidden = true;
    if (what === "go-on") {
      const found = last();
      if (!found) return;
      for (const name of ["key", "fields", "mask"]) {
        if (found[name]) safely(() => sessionStorage.setItem(`varpaint-${name}`, found[name]));
      }
      const own = $("#key [data-key]");
      if (own) own.dataset.key = found.key; // or memory.js puts this page's own in its place
      location.reload();
    } else if (what === "again") {
      await again();
    } else if (what === "mask") {
      const link = document.createElement("a");
      link.href = left;
      link.download = "mask.png";
      link.click();
    }
  });

  // ---- the server goes, and comes back ------------------------------------------------------------
  /* A server that was started anew knows nothing of this page; opened anew, the page finds its work. */
  const BEAT = 4000, GONE = "The server does not answer. This page goes on by itself once it is back.";
  const born = window.gradio_config?.app_id;
  let silent = 0;
  function away(on) {
    let line = $("#away");
    if (!on) return line?.remove();
    if (line) return;
    line = document.createElement("div");
    line.id = "away";
    line.setAttribute("role", "status");
    line.textContent = GONE;
    document.body.append(line);
  }
  async function beat() {
    try {
      if (!document.hidden) {
        const answer = await fetch("gradio_api/app_id", { cache: "no-store", signal: AbortSignal.timeout(8000) });
        const now = answer.ok ? String((await answer.json()).app_id) : answer.status === 401 ? "" : null;
        silent = now === null ? silent + 1 : 0;
        if (now !== null && born !== undefined && now !== String(born)) return location.reload();
      }
    } catch { silent++; }
    away(silent > 1);
    setTimeout(beat, silent ? BEAT / 4 : BEAT);
  }
  setTimeout(beat, BEAT);

  // ---- now and then -----------------------------------------------------------------------------
  let remembered = 0;
  function tick() {
    const offer = $("#offer .offer");
    if (offer && offer !== offered) {
      offered = offer;
      fill(offer);
    }
    const box = $("#offer");
    if (box && $("#facts")) varpaint.hide(box, true); // there is a picture again
    if (performance.now() - remembered > EVERY) {
      remembered = performance.now();
      remember();
    }
    setTimeout(tick, 250);
  }
  window.addEventListener("pagehide", remember);
  tick();
})();
