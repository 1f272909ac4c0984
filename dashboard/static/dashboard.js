// Comfort only: every page works without this script.
"use strict";

// Tell the server the reader's time zone, once; the page comes back with local times.
function rememberZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.documentElement.dataset.zone === zone || /(^|; )zone=/.test(document.cookie)) return;
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  if (document.cookie.includes(`zone=${zone}`) && document.documentElement.dataset.reload === "yes") location.reload();
}

// "Select all of this page", and how many are selected.
function setUpSelection() {
  for (const all of document.querySelectorAll("[data-select-all]")) {
    const boxes = [...document.querySelectorAll(`input[name="${all.dataset.selectAll}"]`)];
    const show = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
      for (const box of boxes) box.closest("tr").classList.toggle("picked", box.checked);
      for (const place of document.querySelectorAll("[data-selected]")) place.textContent = chosen ? ` (${chosen})` : "";
    };
    all.hidden = false;
    all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; show(); });
    for (const box of boxes) box.addEventListener("change", show);
    show();
  }
}

// Ask before an act that cannot be undone.
function setUpConfirmation() {
  for (const form of document.querySelectorAll("form[data-confirm]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sure || typeof HTMLDialogElement === "undefined") return;
      event.preventDefault();
      const template = document.getElementById("confirm");
      const dialog = template.content.firstElementChild.cloneNode(true);
      dialog.querySelector("p").textContent = form.dataset.confirm;
      document.body.append(dialog);
      const submitter = event.submitter;
      dialog.addEventListener("close", () => {
        if (dialog.returnValue === "yes") { form.dataset.sure = "1"; form.requestSubmit(submitter); }
        dialog.remove();
      });
      dialog.showModal();
    });
  }
}

// Show a run's progress: fetch the part again every second, paused while the page is hidden.
function setUpPolling() {
  for (const part of document.querySelectorAll("[data-poll]")) {
    const poll = async () => {
      const address = part.dataset.poll;
      if (!address) return;
      if (!document.hidden) {
        try {
          const response = await fetch(address, { credentials: "same-origin" });
          if (response.ok) {
            const page = new DOMParser().parseFromString(await response.text(), "text/html");
            const fresh = page.getElementById(part.id);
            if (fresh) { part.replaceChildren(...fresh.childNodes); part.dataset.poll = fresh.dataset.poll || ""; }
          }
        } catch { /* the dashboard is away: ask again */ }
      }
      setTimeout(poll, 1000);
    };
    setTimeout(poll, 1000);
  }
}

// On a narrow screen the navigation is scrolled: show where we are.
function showPlace() {
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

rememberZone();
showPlace();
setUpSelection();
setUpConfirmation();
setUpPolling();
