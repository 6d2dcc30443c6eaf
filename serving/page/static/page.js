// Times in the viewer's zone, lists that refresh without losing place or selection. All of it can be done without.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions();
  const format = new Intl.DateTimeFormat(zone.locale, { dateStyle: "medium", timeStyle: "medium" });
  const brief = new Intl.DateTimeFormat(zone.locale, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const REFRESH_MS = 5000;

  function times(root) {
    for (const one of root.querySelectorAll("time:not([data-local])")) {
      const at = new Date(one.dateTime);
      if (isNaN(at)) continue;
      one.dataset.local = "";
      one.textContent = ("brief" in one.dataset ? brief : format).format(at);
    }
  }

  // What is typed as local time is sent as UTC, by a hidden field of the same name.
  function spans(root) {
    for (const field of root.querySelectorAll("input[data-utc]")) {
      const sent = Object.assign(document.createElement("input"), { type: "hidden", name: field.name });
      const pad = (n) => String(n).padStart(2, "0");
      const at = field.value ? new Date(field.value + "Z") : null;
      field.removeAttribute("data-utc");
      field.removeAttribute("name");
      if (at && !isNaN(at)) {
        field.value = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
      }
      const tell = () => { sent.value = field.value ? new Date(field.value).toISOString() : ""; };
      field.addEventListener("input", tell);
      tell();
      field.after(sent);
      const word = field.parentElement.querySelector(".zone");
      if (word) word.textContent = "(your time)";
    }
  }

  function picked() {
    const boxes = [...document.querySelectorAll("[name=incident]")];
    const count = boxes.filter((box) => box.checked).length;
    const out = document.querySelector("[data-picked]");
    if (out) out.textContent = count ? `(${count})` : "(none yet)";
    const all = document.querySelector("[data-all]");
    if (all) {
      all.hidden = false;
      all.checked = count > 0 && count === boxes.length;
      all.indeterminate = count > 0 && count < boxes.length;
    }
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      for (const box of document.querySelectorAll("[name=incident]")) box.checked = event.target.checked;
    }
    if (event.target.matches("[data-all], [name=incident]")) picked();
  });

  // Enter on a tick box would press the form's first button that is not disabled: the first row's.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("[type=checkbox]")) event.preventDefault();
  });

  // A list that is replaced keeps what was ticked, typed and focused, and where the reader was.
  let kept = null;
  const key = (field) => `${field.name}|${field.type === "checkbox" ? field.value.split(":")[0] : ""}`;
  const fields = () => [...document.querySelectorAll("[data-keep] input:not([type=hidden]), [data-keep] select")].filter((one) => one.name);
  document.addEventListener("htmx:beforeSwap", (event) => {
    // What is on the screen stays when it cannot be looked up again; the line on top says why.
    if (event.detail.xhr.status >= 400 && event.detail.requestConfig.verb === "get") event.detail.shouldSwap = false;
    if (!event.detail.shouldSwap || !event.detail.target.matches("[data-keep]")) return;
    const rows = [...document.querySelectorAll("[data-keep] tbody tr[id]")];
    const first = rows.find((row) => row.getBoundingClientRect().bottom > 0);
    const active = document.activeElement;
    kept = {
      values: new Map(fields().map((one) => [key(one), one.type === "checkbox" ? one.checked : one.value])),
      row: first && first.id, top: first && first.getBoundingClientRect().top,
      focus: active && active.closest("[data-keep]") ? [active.closest("tr[id]")?.id, active.name, active.tagName] : null,
      left: document.querySelector("[data-keep] .scroll")?.scrollLeft,
    };
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!kept || !event.detail.target.matches("[data-keep]")) return;
    for (const one of fields()) {
      const value = kept.values.get(key(one));
      if (value === undefined) continue;
      if (one.type === "checkbox") one.checked = value; else one.value = value;
    }
    const scroll = document.querySelector("[data-keep] .scroll");
    if (scroll && kept.left) scroll.scrollLeft = kept.left;
    if (kept.focus) {
      const [row, name, tag] = kept.focus;
      const within = (row && document.getElementById(row)) || document.querySelector("[data-keep]");
      [...within.querySelectorAll(tag)].find((one) => one.name === name)?.focus({ preventScroll: true });
    }
    const row = kept.row && document.getElementById(kept.row);
    if (row && kept.top < 0) window.scrollBy(0, row.getBoundingClientRect().top - kept.top);
    kept = null;
    picked();
  });

  document.addEventListener("htmx:load", (event) => {
    const root = event.detail.elt;
    times(root.parentElement || root);
    spans(root);
    for (const one of root.querySelectorAll("input[data-zone]")) {
      one.value = zone.timeZone;
      one.removeAttribute("data-zone");
    }
    const facts = document.getElementById("facts");
    if (facts) {
      for (const one of document.querySelectorAll("input[name=version]")) one.value = facts.dataset.version;
    }
    picked();
  });

  setInterval(() => {
    if (document.visibilityState === "visible" && !document.querySelector("form.htmx-request")) {
      document.body.dispatchEvent(new Event("refresh"));
    }
  }, REFRESH_MS);
})();
