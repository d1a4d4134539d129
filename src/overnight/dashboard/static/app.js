"use strict";
// What pages do by themselves: ages that tick, keys, questions before what can't be undone, charts, and a word when
// the connection is lost. Without this file everything but live updates works.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// -- ages ---------------------------------------------------------------------------------------------------

function span(seconds) {
  const s = Math.max(0, Math.round(seconds)), two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two(Math.floor((s % 3600) / 60))}m`;
  return `${Math.floor(s / 86400)}d${Math.floor((s % 86400) / 3600)}h`;
}

function tick() {
  if (document.hidden) return;
  for (const each of $$("time[data-ago]")) {
    const text = span((Date.now() - Date.parse(each.dateTime)) / 1000);
    if (each.textContent !== text) each.textContent = text;
  }
}
setInterval(tick, 1000);

// -- the connection -----------------------------------------------------------------------------------------

let lost = 0;
function connected(yes) {
  clearTimeout(lost);
  if (yes) $("#lost").hidden = true;
  else lost = setTimeout(() => { $("#lost").hidden = false; }, 600);
}
document.addEventListener("htmx:sse:after:connection", () => connected(true));
document.addEventListener("htmx:sse:before:connection", (event) => {
  if (event.detail.connection.attempt > 0) connected(false);
});
document.addEventListener("htmx:sse:error", (event) => {
  if (event.detail.status === 401) location.assign("/login");
  connected(false);
});
document.addEventListener("htmx:sse:after:message", () => { connected(true); tails(); });
document.addEventListener("htmx:after:swap", () => charts());

// -- logs stay at their end ---------------------------------------------------------------------------------

const following = new WeakMap();
function tails() {
  for (const each of $$("[data-tail]")) {
    if (!following.has(each)) {
      following.set(each, true);
      each.addEventListener("scroll", () => {
        following.set(each, each.scrollHeight - each.scrollTop - each.clientHeight < 24);
      }, { passive: true });
    }
    if (following.get(each)) each.scrollTop = each.scrollHeight;
  }
}

// -- forms --------------------------------------------------------------------------------------------------

async function sure(text) {
  const dialog = $("#sure");
  $("p", dialog).textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return dialog.returnValue === "yes";
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const words = form.dataset.confirm;
  if (words && !form.dataset.sure) {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (await sure(words)) {
      form.dataset.sure = "1";
      form.requestSubmit();
      delete form.dataset.sure;
    }
  }
}, true);

// Choices fill the answer, which stays a person's own words.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form");
  const text = form && $("[data-answer]", form);
  if (text && event.target.type === "radio") fill(form, text);
});
function fill(form, text) {
  const said = $$("fieldset[data-question]", form).map((each) => {
    const chosen = $("input:checked", each);
    return chosen ? `${each.dataset.question}=${chosen.value}` : "";
  });
  text.value = said.filter(Boolean).join(" ");
}

new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) if (node.nodeType === 1) setTimeout(() => node.remove(), 6000);
}).observe($("#toasts"), { childList: true });

// -- keys ---------------------------------------------------------------------------------------------------

const places = { n: "/", t: "/tasks", i: "/night", u: "/usage", g: "/guard", l: "/schedule", s: "/system" };
let going = 0;
function move(by) {
  const items = $$("[data-item]");
  if (!items.length) return;
  const at = items.indexOf(document.activeElement?.closest?.("[data-item]"));
  const next = items[Math.min(items.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const item = document.activeElement?.closest?.("[data-item]");
  if (Date.now() - going < 1500 && places[event.key]) {
    going = 0;
    location.assign(places[event.key]);
  } else if (event.key === "g") going = Date.now();
  else if (event.key === "?") $("#keys").showModal();
  else if (event.key === "c") location.assign("/tasks/new");
  else if (event.key === "/") { const box = $("#search"); if (box) { event.preventDefault(); box.focus(); } else location.assign("/tasks"); }
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "Enter" && item === document.activeElement && item) $("a", item)?.click();
  else if (event.key === "a" && item) $("[data-approve]", item)?.focus();
});

// -- charts -------------------------------------------------------------------------------------------------

function charts() {
  for (const box of $$("[data-chart]")) {
    if (box.firstChild || typeof uPlot === "undefined") continue;
    const data = JSON.parse(box.dataset.chart), style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--dim").trim(), line = style.getPropertyValue("--line").trim();
    const total = data.own.map((own, i) => own + data.yours[i]);
    const bars = uPlot.paths.bars({ size: [0.62, 36], radius: 0.2 });
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const plot = new uPlot({
      width: box.clientWidth - 24, height: 220, cursor: { points: { show: false }, drag: { x: false } }, legend: { show: true },
      scales: { x: { time: false, range: [-0.6, data.days.length - 0.4] }, y: { range: (_u, _min, max) => [0, max || 1] } },
      axes: [
        { ...axis, grid: { show: false }, splits: () => data.days.map((_d, i) => i), values: (_u, splits) => {
          const step = Math.ceil(splits.length / 8);
          return splits.map((i) => (i % step === 0 ? data.days[i].slice(5) : ""));
        } },
        { ...axis, size: 56, values: (_u, splits) => splits.map((v) => `$${Number(v.toFixed(3))}`) },
      ],
      series: [
        { label: box.dataset.day, value: (_u, i) => data.days[i] ?? "" },
        { label: box.dataset.yours, fill: style.getPropertyValue("--bar-2").trim(), width: 0, paths: bars, points: { show: false },
          value: (_u, v, _s, i) => (i == null ? "" : `$${data.yours[i].toFixed(2)}`) },
        { label: box.dataset.own, fill: style.getPropertyValue("--accent").trim(), width: 0, paths: bars, points: { show: false },
          value: (_u, v) => (v == null ? "" : `$${v.toFixed(2)}`) },
      ],
    }, [data.days.map((_d, i) => i), total, data.own], box);
    new ResizeObserver(() => plot.setSize({ width: box.clientWidth - 24, height: 220 })).observe(box);
  }
}

for (const form of $$("form")) { const text = $("[data-answer]", form); if (text) fill(form, text); }
tails();
charts();
