// Times in the viewer's zone, lists that refresh without losing place or selection. All of it can be done without.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions();
  const format = new Intl.DateTimeFormat(zone.locale, { dateStyle: "medium", timeStyle: "medium" });
  const brief = new Intl.DateTimeFormat(zone.locale, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const REFRESH_MS = 5000;
  const MISSED = 2; // refreshes without an answer before the page reports it

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
      const given = at && !isNaN(at) ? at.toISOString() : "";
      if (given) {
        field.value = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
      }
      // Of a local time that occurs twice, only the given time tells which of the two it is.
      const shown = field.value;
      const tell = () => { sent.value = field.value === shown ? given : field.value ? new Date(field.value).toISOString() : ""; };
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
    // So does what was typed when it could not be done.
    if (event.detail.xhr.status >= 400) {
      event.detail.shouldSwap = false;
      if (event.detail.requestConfig.verb === "post") say(refusal(event.detail.xhr));
    }
    if (!event.detail.shouldSwap) return;
    if (event.detail.target.matches("#main, #sides")) typed = typing(event.detail);
    if (!event.detail.target.matches("[data-keep]")) return;
    const rows = [...document.querySelectorAll("[data-keep] tbody tr[id]")];
    const first = rows.find((row) => row.getBoundingClientRect().bottom > 0);
    kept = {
      values: new Map(fields().map((one) => [key(one), one.type === "checkbox" ? one.checked : one.value])),
      row: first && first.id, top: first && first.getBoundingClientRect().top,
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
    const row = kept.row && document.getElementById(kept.row);
    if (row && kept.top < 0) window.scrollBy(0, row.getBoundingClientRect().top - kept.top);
    kept = null;
    picked();
  });

  // What is replaced while the keyboard's focus is in it keeps the focus, at the same place in what has an id. It goes to
  // no other row and to no other action: whoever presses Enter would do what they did not choose.
  let focused = null;
  const kind = (one) => [one.tagName, one.name, one.matches("[name=verb], [name=do]") ? one.value : ""].join("|");
  const alike = (within, like) => [...within.querySelectorAll("a, button, input, select, summary, [tabindex]")].filter((one) => one.closest("[id]") === within && kind(one) === like);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const one = document.activeElement, within = one?.closest("main [id]");
    focused = null;
    if (!within || event.detail.target.id === "main") return;
    focused = { id: within.id, like: kind(one), at: alike(within, kind(one)).indexOf(one), caret: [one.selectionStart, one.selectionEnd] };
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (!focused || document.activeElement !== document.body) return;
    const { id, like, at, caret } = focused;
    focused = null;
    const within = document.getElementById(id), found = within && alike(within, like)[at];
    (found || document.querySelector("[data-keep] .scroll"))?.focus({ preventScroll: true });
    if (found && Number.isInteger(caret[0])) found.setSelectionRange(...caret);
  });

  // A screen that an action replaces keeps what is typed in its other forms, and if the action failed, in its own. So do
  // the versions of the models once a slow registry has answered.
  let typed = null;
  const formOf = (form) => [...form.querySelectorAll("button[name=verb], button[name=do]")].map((one) => one.value).join();
  const inputs = (form) => [...form.elements].filter((one) => one.name && one.matches("input:not([type=hidden]), select"));
  function altered(one) {
    if (one.type === "checkbox") return one.checked !== one.defaultChecked;
    return one.tagName === "SELECT" ? !one.selectedOptions[0]?.defaultSelected && one.selectedIndex > 0 : one.value !== one.defaultValue;
  }
  function typing({ serverResponse, requestConfig }) {
    const failed = serverResponse.includes('class="message failed"') && !serverResponse.includes('class="message done"');
    const forms = [...document.querySelectorAll("form[data-typed]")].filter((form) => failed || form !== requestConfig.elt);
    return new Map(forms.map((form) => [formOf(form), inputs(form).filter(altered).map((one) => [key(one), one.checked, one.value])]));
  }
  // Whoever uses the keyboard goes on where they were, not at the top of the page.
  let pressed = null;
  function held(one) {
    return one?.form && one.name ? { form: formOf(one.form), name: one.name, value: one.tagName === "BUTTON" ? one.value : null } : null;
  }
  // At the click, because a button loses the focus when it is disabled.
  document.addEventListener("submit", () => { pressed = held(document.activeElement); }, true);
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!pressed || event.detail.target.id !== "main") return;
    const { form, name, value } = pressed;
    pressed = null;
    if (document.activeElement !== document.body) return;
    const same = (one) => one.name === name && !one.disabled && (value === null || one.value === value);
    const forms = [...document.querySelectorAll("main form")].filter((one) => formOf(one) === form);
    const found = forms.flatMap((one) => [...one.elements]).find(same) || document.getElementById("main");
    found.focus({ preventScroll: true });
  });

  document.addEventListener("htmx:afterSwap", () => {
    for (const form of typed ? document.querySelectorAll("form[data-typed]") : []) {
      for (const [wanted, checked, value] of typed.get(formOf(form)) || []) {
        const one = inputs(form).find((field) => key(field) === wanted);
        if (one?.type === "checkbox") one.checked = checked; else if (one) one.value = value;
      }
    }
    typed = null;
  });

  function say(text) {
    const line = Object.assign(document.createElement("p"), { className: "message failed", role: "alert", textContent: text });
    document.querySelector(".messages")?.replaceChildren(line);
  }

  function refusal(xhr) {
    const page = new DOMParser().parseFromString(xhr.responseText, "text/html");
    return page.querySelector("main .message.failed")?.textContent || `That did not work: the answer was ${xhr.status}.`;
  }

  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      if (event.detail.requestConfig.verb !== "post") return;
      say("The service does not answer, so it is not known whether that was done. What you typed is still here: press the button again later. It takes effect only once.");
    });
  }

  // Without an answer the line on top would go on saying that everything works.
  let unanswered = 0, heard = new Date();
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful || event.detail.target?.id !== "health") return;
    unanswered = 0;
    heard = new Date();
  });
  function listen() {
    const line = document.querySelector("#health[hx-get]");
    unanswered += 1;
    if (!line || unanswered <= MISSED) return;
    const text = `The service has not answered since ${format.format(heard)}: what is shown here may be out of date.`;
    const out = document.createElement("p");
    out.append(Object.assign(document.createElement("strong"), { textContent: text }));
    line.classList.add("wrong");
    line.replaceChildren(out);
  }

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
    if (document.visibilityState !== "visible") return;
    listen();
    if (!document.querySelector("form.htmx-request")) document.body.dispatchEvent(new Event("refresh"));
  }, REFRESH_MS);
})();
