// The page says everything without this: it sorts and filters rows, and shows beside a point of a figure what it is.
const make = (kind, more) => Object.assign(document.createElement(kind), more);
const number = text => { const found = text.replace("−", "-").replace(/,(?=\d)/g, "").match(/^[^\d+-]?([-+]?\d+(\.\d+)?)/); return found ? Number(found[1]) : NaN; };
for (const table of document.querySelectorAll(".wide > table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  if (body.rows.length > 2) heads.forEach((head, i) => {
    const button = make("button", { type: "button", title: "Sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && i === 0);
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[i].textContent.trim(), sign = up ? 1 : -1;
      const rows = [...body.rows].map(row => [key(row), row]);
      rows.sort(([a], [b]) => {
        const [x, y] = [number(a), number(b)];
        if (!a || !b) return !a - !b;
        return sign * (isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y);
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}
const fit = () => {
  const all = [...document.querySelectorAll(".wide:not(figure)")];
  all.forEach(box => box.classList.remove("fits"));
  const fitting = all.filter(box => box.clientWidth && box.firstElementChild.offsetWidth <= box.clientWidth);
  fitting.forEach(box => box.classList.add("fits"));
};
fit();
addEventListener("resize", fit);
document.addEventListener("toggle", fit, true);
const open = () => {
  const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!at) return;
  for (let fold = at.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  at.scrollIntoView();
};
addEventListener("hashchange", open);
if (location.hash) open();
const filter = make("input", { id: "filter", type: "search", placeholder: "Filter rows and points" }), tip = make("p", { id: "tip" });
const points = document.querySelectorAll(".point"), tables = document.querySelectorAll(".wide:not(figure)");
filter.setAttribute("aria-label", filter.placeholder);
tip.setAttribute("role", "status");
(document.querySelector("nav") ?? document.querySelector("header")).append(filter);
document.body.append(tip);
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean), has = text => words.every(word => text.toLowerCase().includes(word));
  for (const box of tables) {
    const rows = [...box.firstElementChild.tBodies[0].rows];
    rows.forEach(row => row.hidden = !has(row.textContent));
    box.classList.toggle("none", rows.every(row => row.hidden));
  }
  for (const point of points) point.classList.toggle("off", !has(point.getAttribute("aria-label")));
});
for (const point of points) {
  for (const kind of ["pointerenter", "focus"]) point.addEventListener(kind, () => tip.textContent = point.getAttribute("aria-label"));
  for (const kind of ["pointerleave", "blur"]) point.addEventListener(kind, () => tip.textContent = "");
}
