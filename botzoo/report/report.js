// What makes the page handier where scripts run: it shows everything without them.
"use strict";

// The images of a cell of the confusion matrix unfold when the cell is followed.
function unfold() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const folded = target && target.closest("details");
  if (folded) {
    folded.open = true;
    target.scrollIntoView({ block: "center" });
    target.focus({ preventScroll: true });
  }
}
window.addEventListener("hashchange", unfold);
unfold();

// The gallery shows one pair of class and answer.
const select = document.getElementById("pair");
if (select) {
  const figures = [...document.querySelectorAll(".gallery figure")];
  const pairs = new Map();
  for (const { dataset } of figures) {
    const known = pairs.get(dataset.pair) || { words: `${dataset.label} answered as ${dataset.answer}`, count: 0 };
    known.count += 1;
    pairs.set(dataset.pair, known);
  }
  for (const [pair, { words, count }] of [...pairs].sort((a, b) => b[1].count - a[1].count)) {
    select.add(new Option(`${words} (${count})`, pair));
  }
  select.addEventListener("change", () => {
    for (const figure of figures) figure.hidden = Boolean(select.value) && figure.dataset.pair !== select.value;
    document.getElementById("showing").textContent = `${figures.filter((figure) => !figure.hidden).length} shown`;
  });
  document.getElementById("filter").hidden = false;
}

// A heading of the table of classes sorts it, once more the other way round.
const table = document.getElementById("table");
for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const text = (row) => row.cells[column].dataset.value || row.cells[column].textContent.replaceAll(",", "");
    const order = (a, b) => (column ? text(a) - text(b) || 0 : text(a).localeCompare(text(b)));
    const body = table.tBodies[0];
    const rows = [...body.rows].sort(order);
    body.append(...(rising ? rows : rows.reverse()));
  });
}
