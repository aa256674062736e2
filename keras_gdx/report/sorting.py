"""Sorts tables by a column: the only script of the pages, which are complete without it."""

SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, place) => {
    const cell = row.cells[place], text = cell.textContent;
    const number = parseFloat(cell.dataset.value ?? text.replace(/,/g, ""));
    return isNaN(number) ? text.toLowerCase() : number;
  };
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = (a, b) =>
        typeof a === typeof b ? (a > b) - (a < b) : typeof a === "number" ? -1 : 1;
      const rows = [...body.rows].sort((a, b) => order(key(a, place), key(b, place)));
      body.append(...(up ? rows : rows.reverse()));
    };
  });
}
"""
