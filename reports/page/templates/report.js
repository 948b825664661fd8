"use strict";
// Everything is readable without this: it adds sorting, hiding of arms and values on focus.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

// Tables: a button in each heading sorts by its column, up and then down.
const shown = (cell) => (cell.querySelector("span") || cell).childNodes[0]?.textContent.trim() ?? "";
const number = (text) =>
  Number.parseFloat(text.replaceAll(",", "").replace("\u2212", "-").replace(/^[<>]\s*/, ""));
function compare(one, other) {
  const [a, b] = [number(one), number(other)];
  if (Number.isNaN(a) || Number.isNaN(b)) {
    return Number.isNaN(a) - Number.isNaN(b) || one.localeCompare(other, "en", { numeric: true });
  }
  return a - b;
}
for (const table of all("table")) {
  const headings = all("thead th", table);
  const body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button" });
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => {
        const order = compare(shown(a.cells[column]), shown(b.cells[column]));
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
}

for (const room of all(".scroll")) if (room.scrollWidth > room.clientWidth) room.tabIndex = 0;

// Figures: a list of arms to hide, the same in all figures and tables, and values by arrow keys.
const hidden = new Set();
function refresh() {
  for (const part of all("svg [data-part]")) {
    part.classList.toggle("off", hidden.has(part.dataset.part));
  }
  for (const row of all("tbody tr")) row.classList.toggle("off", hidden.has(shown(row.cells[0])));
  for (const box of all("input[data-part]")) box.checked = !hidden.has(box.dataset.part);
}
function chooser(parts) {
  const details = make("details", { className: "chooser" });
  details.append(make("summary", { textContent: "Show or hide" }));
  const list = make("div");
  for (const part of parts) {
    const label = make("label");
    const box = make("input", { type: "checkbox", checked: true });
    box.dataset.part = part;
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(part); else hidden.add(part);
      refresh();
    });
    label.append(box, ` ${part}`);
    list.append(label);
  }
  details.append(list);
  return details;
}
function stepper(drawing, told) {
  const points = () => all("title", drawing.querySelector("svg")).slice(1)
    .filter((title) => !title.closest(".off"));
  let at = -1;
  const tell = (title) => {
    all(".at", drawing).forEach((each) => each.classList.remove("at"));
    told.textContent = title ? title.textContent : "";
    if (title) title.parentNode.classList.add("at");
  };
  drawing.tabIndex = 0;
  drawing.setAttribute("role", "group");
  drawing.setAttribute("aria-label", "Figure; arrow keys tell its values");
  drawing.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const list = points();
    if (!step || !list.length) return;
    event.preventDefault();
    at = (at + step + list.length + (at < 0 && step < 0)) % list.length;
    tell(list[at]);
  });
  drawing.addEventListener("blur", () => { at = -1; tell(); });
  drawing.addEventListener("pointerover", (event) => {
    tell(event.target.closest("use, g[data-part]")?.querySelector(":scope > title"));
  });
  drawing.addEventListener("pointerleave", () => tell());
}
for (const figure of all("figure")) {
  const parts = new Set(all("[data-part]", figure).map((drawn) => drawn.dataset.part));
  if (!parts.size) continue;
  const told = make("output", { className: "told" });
  const caption = figure.querySelector("figcaption");
  caption.before(told);
  if (parts.size > 1) caption.after(chooser(parts));
  for (const drawing of all(".wide, .narrow", figure)) stepper(drawing, told);
}

// On paper everything is open.
let folded = [];
addEventListener("beforeprint", () => {
  folded = all("details:not([open]):not(.chooser)");
  folded.forEach((details) => { details.open = true; });
});
addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
