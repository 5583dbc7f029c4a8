// The dashboard works without this file. With it, pages follow what happens, and lists are filtered while one types.
"use strict";
(() => {
  const main = document.getElementById("main");

  // Replace the parts of the page that carry data-live by those of a fresh copy of it. What somebody is typing into
  // stays as it is; what they have opened stays open, and the keyboard stays where it was.
  let renewing = false, again = false, renewed = performance.now(), failed = "";
  const begun = Date.now() - performance.now();
  const changed = (one) => one.options
    ? one.selectedIndex !== Math.max(0, [...one.options].findIndex((option) => option.defaultSelected))
    : one.type !== "hidden" && one.value !== one.defaultValue;
  const typing = (part) => [...part.querySelectorAll("input, textarea, select")].some((one) =>
    one === document.activeElement || changed(one));
  const named = (one) => one.id || one.name || one.getAttribute("href") || one.textContent;
  async function renew() {
    if (renewing) { again = true; return; }
    renewing = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.assign(answer.url); return; }
      if (!answer.ok) { failed = "the server answers with an error"; return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      let held = false;
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        if (!other || part.innerHTML === other.innerHTML) continue;
        if (typing(part)) { held = true; continue; }
        if (held && (part.id === "fresh" || part.id === "shown")) continue;
        put(part, other);
      }
      const said = document.getElementById("said"), now = fresh.getElementById("said");
      if (said && now && said.textContent !== now.textContent) said.textContent = now.textContent;
      if (sign.state) live(sign.state, sign.text);
      if (held) { failed = "it is held while you type"; return; }
      renewed = performance.now();
      failed = "";
    } catch (error) {
      failed = "the server does not answer";
      live("off", "not connected: trying again");
    } finally {
      renewing = false;
      age();
      if (again) { again = false; setTimeout(renew, 300); }
    }
  }

  function put(part, other) {
    const open = new Set([...part.querySelectorAll("details[open][id]")].map((one) => one.id));
    const here = part.contains(document.activeElement) ? document.activeElement : null;
    const scrolled = [...part.querySelectorAll(".graph-box, .scroll")].map((one) => one.scrollLeft);
    part.replaceChildren(...document.importNode(other, true).childNodes);
    for (const id of open) { const one = document.getElementById(id); if (one) one.open = true; }
    [...part.querySelectorAll(".graph-box, .scroll")].forEach((one, at) => { one.scrollLeft = scrolled[at] || 0; });
    if (!here) return;
    const same = [...part.querySelectorAll(here.tagName)].find((one) => named(one) === named(here));
    if (same) same.focus({ preventScroll: true });
  }

  // What is shown says its age: "now" was true when the page was made.
  const every = Number(document.body.dataset.every || 0);
  const patience = every ? Math.max(45, 3 * every) : 180;
  function age() {
    const box = document.getElementById("old");
    if (!box || !("shown" in document.body.dataset)) return;
    const seconds = (performance.now() - renewed) / 1000;
    const old = seconds > patience;
    const when = new Date(begun + renewed).toISOString().slice(11, 16);
    const words = old ? `What this page shows is of ${when} UTC by this machine's clock, ${Math.floor(seconds / 60)} min ago` +
      (failed ? `: ${failed}.` : ". Load it again.") : "";
    if (box.textContent !== words) box.textContent = words;
    box.hidden = !old;
  }
  setInterval(age, 5000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { age(); if (every) renew(); } });

  const sign = { state: "", text: "" };
  function live(state, text) {
    sign.state = state; sign.text = text;
    const shown = document.getElementById("live");
    if (shown && shown.textContent !== text) { shown.className = "live " + state; shown.textContent = text; }
  }

  // Events of the server: ids let the browser go on where it was.
  const source = document.body.dataset.events;
  if (source && window.EventSource) {
    const events = new EventSource(source);
    let soon = 0;
    const news = () => { clearTimeout(soon); soon = setTimeout(renew, 150); };
    events.onopen = () => live("on", "live");
    events.onerror = () => live("off", events.readyState === EventSource.CLOSED
      ? "not followed: load the page again" : "not connected: trying again");
    for (const name of ["run", "incident", "work", "drill", "reset"]) events.addEventListener(name, news);
    events.addEventListener("heartbeat", () => live("on", "live"));
    window.addEventListener("pagehide", () => events.close());
  }
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

  // What was sent once is not sent twice by a second click: also of forms that came with a renewal.
  const sent = new Set();
  document.addEventListener("submit", (event) => {
    if (event.target.matches("[data-filter]")) return;
    for (const button of event.target.querySelectorAll("button:enabled")) {
      setTimeout(() => { button.disabled = true; sent.add(button); }, 0);
    }
  });
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of sent) button.disabled = false;
    sent.clear();
    renew();
  });
  if (main && location.hash === "#main") main.focus();
})();
