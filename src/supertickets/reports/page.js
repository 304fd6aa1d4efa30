"use strict";
// Draws the figures from the JSON beside them, switches the level of the heat map, sorts tables.
(() => {
  const narrow = () => window.matchMedia("(max-width: 36rem)").matches;
  const config = {
    responsive: true, displaylogo: false, modeBarButtons: [["toImage"]],
    toImageButtonOptions: { format: "svg", filename: "supertickets" },
  };

  for (const source of document.querySelectorAll("script[data-figure]")) {
    const target = document.getElementById(source.dataset.figure);
    const figure = JSON.parse(source.textContent);
    if (narrow()) {
      figure.layout.font.size = 12;
      figure.layout.margin.l = 44;
      figure.layout.margin.r = 8;
      for (const trace of figure.data) {
        if (Array.isArray(trace.marker?.size)) trace.marker.size = trace.marker.size.map((size) => 0.7 * size);
      }
    }
    Plotly.newPlot(target, figure.data, figure.layout, config);
  }

  for (const picker of document.querySelectorAll("fieldset.levels")) {
    const choices = [...picker.querySelectorAll("input")];
    const show = () => {
      const shown = choices.findIndex((choice) => choice.checked);
      Plotly.restyle(picker.dataset.for, { visible: choices.map((_, i) => i === shown) });
      document.getElementById(picker.dataset.caption).textContent = choices[shown].dataset.text;
    };
    picker.addEventListener("change", show);
    show();
  }

  const value = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const compare = (a, b) => {
    if (a === "" || b === "") return a === b ? 0 : a === "" ? Infinity : -Infinity;
    const numbers = [Number(a), Number(b)];
    return numbers.some(Number.isNaN) ? a.localeCompare(b) : numbers[0] - numbers[1];
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button")?.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && column === 0);
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((r, s) => {
          const order = compare(value(r, column), value(s, column));
          return Number.isFinite(order) && !ascending ? -order : order; // rows without a value stay last
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  const resize = () => document.querySelectorAll(".plot").forEach((plot) => Plotly.Plots.resize(plot));
  window.addEventListener("beforeprint", resize);
  window.addEventListener("afterprint", resize);
})();
