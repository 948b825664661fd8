"use strict";
// Everything is readable without this. It sorts tables, hides arms in figures and tables, compares
// any two arms and tells values on focus. What was chosen stands in the address behind a `~`, so
// that a link carries it and Back undoes it: `#part-2~hide=base&sort=arms.2.down`.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const MINUS = "\u2212";
const pairs = JSON.parse(document.getElementById("pairs")?.textContent ?? "null");

// The state, and the address that holds it.
let anchor = "";
const state = { hide: new Set(), open: new Set(), regions: new Set(), sort: new Map(), pair: [] };
function readAddress() {
  const [first, ...rest] = location.hash.slice(1).split("~");
  const asked = new URLSearchParams(rest.join("~"));
  anchor = first;
  for (const key of ["hide", "open", "regions"]) state[key] = new Set(asked.getAll(key));
  state.pair = asked.getAll("compare").slice(0, 2);
  state.sort = new Map(asked.getAll("sort").map((text) => {
    const [table, column, way] = text.split(".");
    return [table, { column: Number(column), up: way === "up" }];
  }));
}
function asText() {
  const told = new URLSearchParams();
  for (const key of ["hide", "open", "regions"]) state[key].forEach((one) => told.append(key, one));
  state.pair.forEach((arm) => told.append("compare", arm));
  state.sort.forEach(({ column, up }, table) => {
    told.append("sort", `${table}.${column}.${up ? "up" : "down"}`);
  });
  return told.toString();
}
function changed() {
  showAll();
  const address = `#${anchor}~${asText()}`;
  if (location.hash !== address) location.hash = address;
}
const shows = [];
const showAll = () => shows.forEach((show) => show());
const toggle = (set, key, on) => { if (on) set.add(key); else set.delete(key); };

// Tables: a button in each heading sorts by its column, up, then down, then as it was.
const shown = (cell) => (cell.querySelector("span") || cell).childNodes[0]?.textContent.trim() ?? "";
const number = (text) =>
  Number.parseFloat(text.replaceAll(",", "").replace(MINUS, "-").replace(/^[<>]\s*/, ""));
function compare(one, other, way) {
  const [a, b] = [number(one), number(other)];
  const missing = Number.isNaN(a) - Number.isNaN(b);
  if (missing) return missing;
  return way * (Number.isNaN(a) ? one.localeCompare(other, "en", { numeric: true }) : a - b);
}
all("table").forEach((table, index) => {
  const key = table.dataset.table ?? String(index);
  const headings = all("thead th", table);
  const body = table.tBodies[0];
  const written = [...body.rows];
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const now = state.sort.get(key);
      const again = now?.column === column;
      if (again && !now.up) state.sort.delete(key);
      else state.sort.set(key, { column, up: !again });
      changed();
    });
  });
  let order = "";
  shows.push(() => {
    const by = headings[state.sort.get(key)?.column] && state.sort.get(key);
    const asked = by ? `${by.column} ${by.up}` : "";
    if (asked === order) return;
    order = asked;
    headings.forEach((heading, column) => {
      if (column !== by?.column) heading.removeAttribute("aria-sort");
      else heading.setAttribute("aria-sort", by.up ? "ascending" : "descending");
    });
    const at = (row) => shown(row.cells[by.column]);
    const sorted = by && [...written].sort((a, b) => compare(at(a), at(b), by.up ? 1 : -1));
    body.append(...(sorted || written));
  });
});
for (const room of all(".scroll")) {
  if (room.scrollWidth > room.clientWidth || room.scrollHeight > room.clientHeight + 1) room.tabIndex = 0;
}

// Arms: hidden in all figures and tables; what a table hides stands below it, to be brought back.
const rows = all("tr[data-arm]");
const drawn = all("svg [data-part]");
const named = new Set(rows.map((row) => row.dataset.arm));
const parts = (root) => [...new Set(all("[data-part]", root).map((part) => part.dataset.part))];
const arms = pairs?.arms ?? parts(document).filter((part) => named.has(part));
const hide = (part, on) => { toggle(state.hide, part, on); changed(); };
const button = (text, act) => {
  const made = make("button", { type: "button", className: "small", textContent: text });
  made.addEventListener("click", act);
  return made;
};
shows.push(() => {
  for (const part of drawn) part.classList.toggle("off", state.hide.has(part.dataset.part));
  for (const row of rows) row.classList.toggle("off", state.hide.has(row.dataset.arm));
  for (const box of all("input[data-part]")) box.checked = !state.hide.has(box.dataset.part);
});
for (const room of all(".scroll")) {
  const here = new Set(all("tr[data-arm]", room).map((row) => row.dataset.arm));
  const gone = make("p", { className: "gone", hidden: true });
  room.append(gone);
  shows.push(() => {
    const hidden = [...state.hide].filter((arm) => here.has(arm));
    const back = hidden.map((arm) => button(`Show ${arm}`, () => hide(arm, false)));
    gone.hidden = !hidden.length;
    gone.replaceChildren(`Hidden: ${hidden.length} of ${here.size}. `, ...back);
  });
}
function chooser(list, title, key) {
  const boxes = list.map((part) => {
    const box = make("input", { type: "checkbox", checked: true });
    box.dataset.part = part;
    box.addEventListener("change", () => hide(part, !box.checked));
    return make("label", {}, box, ` ${part}`);
  });
  const every = (on) => button(on ? "Show all" : "Hide all", () => {
    list.forEach((part) => toggle(state.hide, part, !on));
    changed();
  });
  const details = make("details", { className: "chooser" },
    make("summary", { textContent: title }), make("div", {}, ...boxes, every(true), every(false)));
  details.dataset.fold = key;
  return details;
}

// Figures: a list of what can be hidden, regions on demand, and values by arrow keys.
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
  const list = parts(figure);
  if (!list.length) continue;
  const key = figure.dataset.key;
  const told = make("output", { className: "told" });
  const caption = figure.querySelector("figcaption");
  caption.before(told);
  if (list.length > 1) caption.after(chooser(list, "Show or hide", `choose-${key}`));
  if (figure.querySelector("[data-more]")) {
    const box = make("input", { type: "checkbox" });
    box.addEventListener("change", () => { toggle(state.regions, key, box.checked); changed(); });
    told.before(make("label", { className: "more" }, box, " Show the 95 % regions"));
    shows.push(() => {
      box.checked = state.regions.has(key);
      figure.classList.toggle("with-regions", box.checked);
    });
  }
  for (const drawing of all(".wide, .narrow", figure)) stepper(drawing, told);
}

// Any two arms.
const signed = (value, digits) => {
  const text = Math.abs(value).toFixed(digits);
  return `${Number(text) === 0 ? "" : value < 0 ? MINUS : "+"}${text}`;
};
const REVERSED = { better: "worse", worse: "better" };
function differences(arm, other) {
  const at = [pairs.arms.indexOf(arm), pairs.arms.indexOf(other)];
  const turned = at[0] > at[1];
  const [i, j] = turned ? at.reverse() : at;
  const of_pair = pairs.cells[(i * (2 * pairs.arms.length - i - 1)) / 2 + j - i - 1];
  if (!turned || !of_pair) return of_pair;
  const less = (value) => (value === null ? null : -value);
  return of_pair.map(([mean, low, high, word]) =>
    [-mean, less(high), less(low), REVERSED[word] ?? word]);
}
function comparison() {
  const choice = (name) => {
    const options = pairs.arms.map((arm) => make("option", { value: arm, textContent: arm }));
    const select = make("select", {}, ...options);
    select.addEventListener("change", () => {
      state.pair = selects.map((each) => each.value);
      changed();
    });
    return [make("label", {}, `${name} `, select), select];
  };
  const [[first, one], [second, other]] = [choice("Compare"), choice("with")];
  const selects = [one, other];
  const said = make("div", { className: "compared" });
  said.setAttribute("aria-live", "polite");
  shows.push(() => {
    const [arm, against] = state.pair.length === 2 && state.pair.every((x) => pairs.arms.includes(x))
      ? state.pair : pairs.arms;
    one.value = arm;
    other.value = against;
    const cells = arm === against ? null : differences(arm, against);
    if (!cells) {
      said.textContent = arm === against ? "Choose two different ones."
        : "They share no replicate, so that they cannot be compared.";
      return;
    }
    const lines = cells.map(([mean, low, high, word], k) => {
      const write = (value) => signed(value, pairs.digits[k]);
      const interval = low === null ? "" : ` [${write(low)}, ${write(high)}]`;
      return make("tr", {}, make("th", { scope: "row", textContent: pairs.headings[k] }),
        make("td", {}, make("span", {}, write(mean), make("span",
          { className: "note", textContent: interval.trim() }))),
        make("td", { textContent: word }));
    });
    said.replaceChildren(make("table", {}, make("caption", {
      textContent: `${arm} minus ${against}, on test: mean and 95 % interval; what ${arm} is.`,
    }), make("tbody", {}, ...lines)));
  });
  const details = make("details", { className: "compare" },
    make("summary", { textContent: "Compare any two" }),
    make("div", { className: "choices" }, first, second), said);
  details.dataset.fold = "compare";
  return details;
}
const place = document.querySelector('main > section[aria-labelledby^="part-"]');
if (place && arms.length > 1) {
  place.before(make("div", { className: "tools" }, ...(pairs ? [comparison()] : []),
    chooser(arms, "Show or hide in all figures and tables", "choose")));
}

// Folded details are part of the state; on paper everything is open.
const folds = all("details[data-fold]");
shows.push(() => {
  for (const fold of folds) fold.open = state.open.has(fold.dataset.fold);
});
for (const fold of folds) {
  fold.querySelector("summary").addEventListener("click", (event) => {
    event.preventDefault();
    toggle(state.open, fold.dataset.fold, !fold.open);
    changed();
  });
}
addEventListener("beforeprint", () => {
  for (const fold of folds) fold.open ||= !fold.matches(".chooser, .compare");
});
addEventListener("afterprint", showAll);

// Commands can be copied, and break between words: not behind the hyphens of an option.
for (const command of all("pre.command")) {
  const parts = command.textContent.split(/(\s+)/);
  command.replaceChildren(...parts.map((part) =>
    part.trim() ? make("span", { textContent: part }) : part));
  const copy = button("Copy", async () => {
    getSelection().selectAllChildren(command);
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      document.execCommand("copy"); // where the browser gives a page no clipboard
    }
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
  copy.classList.add("copy");
  copy.setAttribute("aria-live", "polite");
  const holder = make("div", { className: "copied" });
  command.before(holder);
  holder.append(copy, command);
}

// Links keep the state; the list of parts says where one is.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  const goal = link && document.getElementById(decodeURIComponent(link.hash.slice(1)));
  if (!goal || !asText() || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  anchor = link.hash.slice(1);
  changed();
  goal.scrollIntoView();
});
const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    links.forEach((link) => link.removeAttribute("aria-current"));
    const link = links.get(target.getAttribute("aria-labelledby") ?? target.id);
    link?.setAttribute("aria-current", "location");
    const list = link?.closest("ul");
    if (list) list.scrollLeft = link.offsetLeft - list.offsetLeft - list.clientWidth / 3;
  }
}, { rootMargin: "-15% 0px -80% 0px" });
for (const part of all("section")) watcher.observe(part);

addEventListener("hashchange", () => {
  readAddress();
  showAll();
});
readAddress();
showAll();
if (location.hash.includes("~")) document.getElementById(anchor)?.scrollIntoView();
