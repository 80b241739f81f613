/* Pictures into the window. They reach the server as the files they are: drops, pastes and the
   canvas's own file chooser are sent through the Open button, so that the original's bytes arrive and
   not a browser's copy. */
(() => {
  "use strict";
  const varpaint = window.varpaint;
  const { $, stop, typing } = varpaint;

  // ---- pictures in --------------------------------------------------------------------------
  const isPicture = (file) => file && (file.type.startsWith("image/") || /\.varpaint$/i.test(file.name));

  function open(file, button = "#open") {
    const input = inputOf(button);
    if (!input) return;
    if (button === "#open") begins();
    const bag = new DataTransfer();
    bag.items.add(file);
    input.files = bag.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function inputOf(button) {
    const here = $(button);
    return here?.querySelector("input[type=file]") || here?.previousElementSibling?.closest("input[type=file]")
      || here?.parentElement?.querySelector(":scope > input[type=file]");
  }

  /* From the choice of a file until its picture is there, which for a large one is a while. */
  const LATE = 60000; // milliseconds after which nothing comes any more
  let since = null;
  function begins() {
    since = { version: $("#facts")?.dataset.version, status: $("#status")?.innerHTML, at: performance.now() };
    $("#easel")?.classList.add("opening");
  }
  /* A picture of another size is seen at once, where it will lie, while an editor for it is made. */
  let coming = null;
  function ahead() {
    const facts = $("#facts")?.dataset, canvas = $("#canvas");
    const waits = facts?.picture && canvas && facts.version !== canvas.dataset.ready
      && !(canvas.dataset.ready && canvas.classList.contains(`size-${facts.shown}`));
    if (!waits) {
      coming?.remove();
      coming = null;
      return;
    }
    coming ??= Object.assign(document.createElement("img"), { className: "coming", alt: "" });
    if (coming.getAttribute("src") !== facts.picture) coming.src = facts.picture;
    if (!coming.isConnected) $("#easel").append(coming);
  }
  varpaint.tickOpening = () => {
    ahead();
    if (!since) return;
    const there = $("#facts")?.dataset.version !== since.version;
    const refused = $("#status .line.error") && $("#status").innerHTML !== since.status;
    if (!there && !refused && performance.now() - since.at < LATE) return;
    since = null;
    $("#easel")?.classList.remove("opening");
  };
  window.addEventListener("change", (event) => {
    if (event.target === inputOf("#open") && event.target.files?.length) begins();
  }, true);
  window.addEventListener("click", (event) => {
    if (event.target.closest?.("#examples button")) begins();
  }, true);

  window.addEventListener("change", (event) => {
    const input = event.target;
    if (input?.type === "file" && input.closest("#canvas") && input.files?.length) {
      const file = input.files[0];
      event.stopImmediatePropagation();
      open(file);
      input.value = "";
    }
  }, true);
  /* Over a picture there are two places to drop: as the picture, or as its mask (also with Shift). */
  const asMask = (event) => {
    const zone = event.target?.closest?.("#drop [data-as]") ?? null;
    return Boolean($("#canvas.filled")) && (event.shiftKey || zone?.dataset.as === "mask");
  };
  function dropping(on) {
    document.body.classList.toggle("dropping", on);
    const easel = $("#easel");
    if (on && easel && !$("#drop")) {
      const zones = document.createElement("div");
      zones.id = "drop";
      zones.innerHTML = '<b data-as="picture">Drop to open</b><b data-as="mask">Drop as the mask</b>';
      easel.append(zones);
    }
  }
  window.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    dropping(true);
    const mask = asMask(event);
    document.querySelectorAll("#drop b").forEach((zone) => zone.classList.toggle("on", (zone.dataset.as === "mask") === mask));
  }, true);
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) dropping(false);
  }, true);
  window.addEventListener("drop", (event) => {
    const files = [...(event.dataTransfer?.files ?? [])];
    const button = asMask(event) ? "#import-mask" : "#open";
    dropping(false);
    if (!files.length) return;
    stop(event); // or the browser leaves the page for the file
    open(files.find(isPicture) ?? files[0], button); // the server says what it cannot open
  }, true);
  window.addEventListener("paste", (event) => {
    const data = event.clipboardData;
    const file = [...(data?.files ?? [])].find(isPicture);
    const text = data?.types.includes("text/plain") && typing(event.target); // as of a spreadsheet's cells
    if (!file || text) return;
    stop(event);
    open(file);
  }, true);
})();
