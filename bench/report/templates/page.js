"use strict";
// Charts, filter, sorting, theme. Without it the page still holds every figure, in its tables.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const shown = (element, yes) => { element.hidden = !yes; };

  // --- charts -------------------------------------------------------------------------------
  // `ast`: expressions are interpreted, because the page's content policy forbids to compile them.
  const options = {
    actions: false, ast: true, defaultStyle: false, renderer: "svg", logLevel: 1,
    tooltip: { theme: "custom", disableDefaultStyle: true },
  };
  const views = {};
  const drawn = Object.entries(data.charts).map(async ([id, spec]) => {
    const place = byId(`chart-${id}`).firstElementChild;
    // a copy: the filter and the timeline need the figures as they came
    const { view } = await vegaEmbed(place, structuredClone(spec), options);
    views[id] = view;
  });

  const lines = (values) => new Set(values.map((row) => row.label)).size;

  function namedData(spec, found = {}) {
    if (spec.data?.name && spec.data.values) found[spec.data.name] = spec.data.values;
    (spec.layer ?? []).forEach((layer) => namedData(layer, found));
    return found;
  }

  async function filterCharts(kept) {
    for (const [id, view] of Object.entries(views)) {
      const spec = data.charts[id];
      for (const [name, values] of Object.entries(namedData(spec))) {
        const left = values.filter((row) => kept(row.deployment));
        view.data(name, structuredClone(left));
        if (name === "rows") view.height(spec.height * lines(left) / lines(values));
        shown(byId(`chart-${id}`).closest("figure"), left.length);
      }
      await view.resize().runAsync();
    }
  }

  // --- filter -------------------------------------------------------------------------------
  const form = byId("filter");
  const deployments = new Set(all("#table-ranking tbody tr").map((row) => row.dataset.deployment));
  const invalid = new Set(all("#table-ranking tr.invalid").map((row) => row.dataset.deployment));

  function applyFilter() {
    const part = byId("filter-name").value.trim().toLowerCase();
    const group = byId("filter-group")?.value;
    const onlyValid = byId("filter-valid")?.checked;
    const kept = (name) => name.toLowerCase().includes(part)
      && (!group || data.filters[group].includes(name))
      && !(onlyValid && invalid.has(name));
    all("main [data-deployment]").forEach((e) => shown(e, kept(e.dataset.deployment)));
    const count = [...deployments].filter(kept).length;
    byId("filter-count").textContent = `${count} of ${deployments.size} deployments shown`;
    offerTrials(kept);
    filterCharts(kept);
  }

  // --- timeline -----------------------------------------------------------------------------
  const trials = byId("trial");
  const recordings = new Map(trials ? all("option", trials).map((o) => [o.value, o]) : []);

  function offerTrials(kept) {
    if (!trials) return;
    const chosen = trials.value;
    const options = [...recordings.values()].filter((o) => kept(o.dataset.deployment));
    trials.replaceChildren(...options);
    if (options.some((o) => o.value === chosen)) trials.value = chosen;
    else play();
  }

  function play() {
    const roles = data.recordings[trials.value] ?? {};
    const wanted = new Set(all("[name=role]:checked").map((box) => box.value));
    let any = false;
    for (const [id, view] of Object.entries(views)) {
      if (!id.startsWith("timeline-")) continue;
      const figure = id.slice("timeline-".length);
      const moments = Object.entries(roles).flatMap(([role, columns]) => (
        !wanted.has(role) ? [] : columns.t.map((t, at) => ({ t, role, value: columns[figure][at] }))
      )).filter((moment) => moment.value !== null);
      shown(byId(`chart-${id}`).closest("figure"), moments.length);
      any ||= moments.length > 0;
      view.data("moments", moments).resize().runAsync();
    }
    shown(byId("timeline-none"), !any);
  }

  // --- sorting ------------------------------------------------------------------------------
  function sortBy(table, column) {
    const heads = all("thead th", table);
    const numeric = heads[column].classList.contains("number");
    const before = heads[column].getAttribute("aria-sort");
    // numbers begin with the highest, names with A
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const direction = before === first ? other : first;
    heads.forEach((head, at) => head.setAttribute("aria-sort", at === column ? direction : "none"));
    const sign = direction === "ascending" ? 1 : -1;
    const key = (row) => {
      const cell = row.cells[column];
      return numeric ? parseFloat(cell.dataset.value) : cell.textContent;
    };
    const rows = all("tbody tr", table).map((row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (!numeric) return sign * a.localeCompare(b, undefined, { numeric: true });
      // what is not known comes last, whichever way
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return sign * (a - b);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  // --- theme and copying --------------------------------------------------------------------
  const root = document.documentElement;
  const dark = () => (root.dataset.theme
    ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { byId("theme").textContent = dark() ? "Light" : "Dark"; };
  const keep = (theme) => {
    // a browser that lets a local file keep nothing is no reason not to switch
    try { localStorage.setItem("flask-bench-theme", theme); } catch { /* not kept */ }
  };
  const kept = () => {
    try { return localStorage.getItem("flask-bench-theme"); } catch { return null; }
  };

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  // --- begin --------------------------------------------------------------------------------
  if (["light", "dark"].includes(kept())) root.dataset.theme = kept();
  nameTheme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
  shown(byId("theme"), true);
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    keep(root.dataset.theme);
    nameTheme();
  });
  all("table").forEach((table) => all("thead button", table).forEach((button, column) => {
    button.disabled = false;
    button.addEventListener("click", () => sortBy(table, column));
  }));
  all("button.copy").forEach((button) => {
    shown(button, true);
    button.addEventListener("click", () => copy(button));
  });
  Promise.all(drawn).then(() => {
    if (trials) {
      shown(byId("timeline-controls"), true);
      trials.addEventListener("change", play);
      all("[name=role]").forEach((box) => box.addEventListener("change", play));
      play();
    }
    if (form) {
      shown(form, true);
      form.addEventListener("input", applyFilter);
      form.addEventListener("submit", (event) => event.preventDefault());
      applyFilter();
    }
    root.dataset.ready = "yes";
  });
})();
