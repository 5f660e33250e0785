// A table of more than a few rows gets a search box, and headings that sort it.
(() => {
  const {search, shown, language} = JSON.parse(document.getElementById("says").textContent);
  const collator = new Intl.Collator(language, {numeric: true, sensitivity: "base"});
  const make = (tag, more, ...inside) => { const e = Object.assign(document.createElement(tag), more); e.append(...inside); return e; };
  const key = row => column => row.cells[column].textContent.trim().replace(/(\d),(?=\d{3})/g, "$1");
  const empty = text => /^[-–—]?$/.test(text);
  for (const box of document.querySelectorAll(".table")) {
    const table = box.querySelector("table"), body = table && table.tBodies[0];
    if (!body || !table.tHead || body.rows.length <= 8) continue;
    const rows = [...body.rows], keys = new Map(rows.map(row => [row, key(row)]));
    const texts = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
    const status = make("span", {}); status.setAttribute("role", "status"); status.setAttribute("aria-live", "polite");
    const input = make("input", {type: "search", autocomplete: "off", spellcheck: false});
    input.setAttribute("aria-label", `${search}: ${box.getAttribute("aria-label")}`);
    const tell = n => { status.textContent = shown.replace("{n}", n.toLocaleString(language)).replace("{all}", rows.length.toLocaleString(language)); };
    const band = () => { let n = 0; for (const row of body.rows) if (!row.hidden) row.style.background = n++ % 2 ? "var(--band)" : "none"; return n; };
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every(word => texts.get(row).includes(word));
      tell(band());
    });
    box.before(make("div", {className: "tools"}, make("label", {}, search, input), status));
    tell(rows.length);
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", {type: "button"}, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = {none: "ascending", ascending: "descending", descending: "none"}[head.getAttribute("aria-sort") || "none"];
        heads.forEach(other => other.removeAttribute("aria-sort"));
        if (next !== "none") head.setAttribute("aria-sort", next);
        const turn = next === "descending" ? -1 : 1, order = [...rows];
        if (next !== "none") order.sort((one, other) => {
          const a = keys.get(one)(column), b = keys.get(other)(column);
          return empty(a) || empty(b) ? empty(a) - empty(b) : turn * collator.compare(a, b);
        });
        body.append(...order);
        band();
      });
    });
  }
})();
