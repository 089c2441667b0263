"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  // Theme ---------------------------------------------------------------------

  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);

  // A page opened from a file may be denied storage; the choice is then for this visit.
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("microjoule-theme", value);
      return localStorage.getItem("microjoule-theme");
    } catch {
      return null;
    }
  };

  const applyTheme = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    drawAll();
  };

  // Plots ---------------------------------------------------------------------

  // "@after" in a figure is the value of --after in the style sheet, so that a plot follows the theme.
  const painted = (part, style) => {
    if (typeof part === "string") return part.startsWith("@") ? style.getPropertyValue("--" + part.slice(1)).trim() : part;
    if (Array.isArray(part)) return part.map((item) => painted(item, style));
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, painted(value, style)]));
  };

  const axis = { gridcolor: "@grid", zerolinecolor: "@line", linecolor: "@line", tickcolor: "@line", automargin: true, zeroline: false };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 16, t: 34, b: 48 },
    font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif", size: 12, color: "@muted" },
    hoverlabel: { bgcolor: "@panel", bordercolor: "@line", font: { color: "@text" } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: "@text" } },
  };

  // Slanted names need this many pixels each; in a narrow window every second, third ... is shown.
  const nameWidth = 24;
  const thinned = (names, width) => {
    const every = Math.max(1, Math.ceil((names.ticktext.length * nameWidth) / Math.max(width - 90, nameWidth)));
    const kept = (list) => list.filter((_, index) => index % every === 0);
    return { ...names, tickvals: kept(names.tickvals), ticktext: kept(names.ticktext) };
  };

  const layoutOf = (figure, width) => {
    const layout = { ...base, ...figure.layout };
    for (const key of Object.keys(figure.layout)) {
      if (/^[xy]axis/.test(key)) layout[key] = { ...axis, ...figure.layout[key] };
      if (/^xaxis/.test(key) && layout[key].ticktext) layout[key] = thinned(layout[key], width);
    }
    return layout;
  };

  let paperWidth = null;
  const draw = (place) => {
    const figure = figures[place.dataset.plot][Number(place.dataset.chosen)];
    const width = paperWidth ?? place.clientWidth;
    const layout = { ...layoutOf(figure, width), width };
    const look = painted({ data: figure.data, layout }, getComputedStyle(root));
    Plotly.react(place, look.data, look.layout, { displayModeBar: false });
  };

  const places = [...document.querySelectorAll(".plot")];
  const drawAll = () => places.forEach(draw);

  let resized = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(resized);
    if (!paperWidth) resized = requestAnimationFrame(drawAll);
  });

  for (const select of document.querySelectorAll("select[data-plot]")) {
    const place = document.getElementById("plot-" + select.dataset.plot);
    // Browsers restore a choice on reload without an event.
    place.dataset.chosen = select.value;
    select.addEventListener("change", () => {
      place.dataset.chosen = select.value;
      draw(place);
    });
  }

  // Sorting -------------------------------------------------------------------

  const valueOf = (row, index) => {
    const text = row.cells[index].dataset.value;
    if (text === undefined) return null;
    const number = Number(text);
    return text === "" || Number.isNaN(number) ? text : number;
  };

  // Missing values stay last in both directions; equal ones keep their order.
  const compare = (first, second, direction) => {
    if (first === null || second === null) return (first === null) - (second === null);
    if (typeof first === "number" && typeof second === "number") return direction * (first - second);
    return direction * String(first).localeCompare(String(second), undefined, { numeric: true });
  };

  const sortBy = (head) => {
    const table = head.closest("table");
    const numeric = head.classList.contains("number");
    const now = head.getAttribute("aria-sort");
    const ascending = now === "none" ? !numeric : now === "descending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(valueOf(a, head.cellIndex), valueOf(b, head.cellIndex), ascending ? 1 : -1));
    table.tBodies[0].append(...rows);
  };

  for (const head of document.querySelectorAll(".sortable thead th")) {
    head.querySelector("button").addEventListener("click", () => sortBy(head));
  }

  // Printing ------------------------------------------------------------------

  // Paper is white and as wide as the style sheet says; what was skipped is opened, since nobody can click on paper.
  let before = null;
  addEventListener("beforeprint", () => {
    if (before) return;
    const closed = [...document.querySelectorAll("details.skips:not([open])")];
    before = { theme: root.dataset.theme, closed };
    root.dataset.theme = "light";
    closed.forEach((details) => { details.open = true; });
    paperWidth = 680;
    drawAll();
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    before.closed.forEach((details) => { details.open = false; });
    if (before.theme) root.dataset.theme = before.theme;
    else delete root.dataset.theme;
    paperWidth = null;
    before = null;
    drawAll();
  });

  // Start ---------------------------------------------------------------------

  const stored = remembered();
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    applyTheme();
  });
  prefersDark.addEventListener("change", applyTheme);
  applyTheme();
})();
