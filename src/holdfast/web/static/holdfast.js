// The dashboard works without this file. With it, pages follow what happens, and lists are filtered while one types.
"use strict";
(() => {
  const main = document.getElementById("main");

  // Replace the parts of the page that carry data-live by those of a fresh copy of it. What somebody is typing into, or
  // has opened, stays.
  let renewing = false, again = false;
  async function renew() {
    if (renewing) { again = true; return; }
    renewing = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.assign(answer.url); return; }
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        if (!other || part.contains(document.activeElement) && document.activeElement !== document.body) continue;
        if (part.innerHTML === other.innerHTML) continue;
        const open = new Set([...part.querySelectorAll("details[open][id]")].map((one) => one.id));
        const scrolled = part.querySelector(".graph-box");
        const left = scrolled ? scrolled.scrollLeft : 0;
        part.replaceChildren(...document.importNode(other, true).childNodes);
        for (const id of open) { const one = document.getElementById(id); if (one) one.open = true; }
        const box = part.querySelector(".graph-box");
        if (box) box.scrollLeft = left;
      }
      const said = document.getElementById("said"), now = fresh.getElementById("said");
      if (said && now && said.textContent !== now.textContent) said.textContent = now.textContent;
    } catch (error) {
      live("off", "not connected: trying again");
    } finally {
      renewing = false;
      if (again) { again = false; setTimeout(renew, 300); }
    }
  }

  function live(state, text) {
    const sign = document.getElementById("live");
    if (sign) { sign.className = "live " + state; sign.textContent = text; }
  }

  // Events of the server: ids let the browser go on where it was.
  const source = document.body.dataset.events;
  if (source && window.EventSource) {
    const events = new EventSource(source);
    let soon = 0;
    const changed = () => { clearTimeout(soon); soon = setTimeout(renew, 150); };
    events.onopen = () => live("on", "live");
    events.onerror = () => live("off", "not connected: trying again");
    for (const name of ["run", "incident", "work", "drill"]) events.addEventListener(name, changed);
    events.addEventListener("heartbeat", () => live("on", "live"));
    window.addEventListener("pagehide", () => events.close());
  }
  const every = Number(document.body.dataset.every || 0);
  if (every) setInterval(() => { if (!document.hidden) renew(); }, every * 1000);

  // Filters: submitted a moment after the last key, without leaving the field.
  for (const form of document.querySelectorAll("form[data-filter]")) {
    let wait = 0;
    const submit = async () => {
      const address = new URL(form.action, location.href);
      address.search = "";
      for (const [name, value] of new FormData(form)) if (value) address.searchParams.set(name, value);
      history.replaceState(null, "", address);
      await renew();
    };
    form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
    form.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(submit, 250); });
    form.addEventListener("change", () => { clearTimeout(wait); submit(); });
  }

  // What was sent once is not sent twice by a second click.
  for (const form of document.querySelectorAll("form:not([data-filter])")) {
    form.addEventListener("submit", () => {
      for (const button of form.querySelectorAll("button")) setTimeout(() => { button.disabled = true; }, 0);
    });
  }
  if (main && location.hash === "#main") main.focus();
})();
