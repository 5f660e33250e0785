// A table of more than a few rows gets a search box, which takes words and column:word, headings that sort it, and buttons that copy or save what is shown.
const dressTables = (place, {search, filter, shown, copy, copied, save, language}) => {
  const collator = new Intl.Collator(language, {numeric: true, sensitivity: "base"});
  const make = (tag, more, ...inside) => { const e = Object.assign(document.createElement(tag), more); e.append(...inside); return e; };
  const key = row => column => row.cells[column].textContent.trim().replace(/(\d),(?=\d{3})/g, "$1");
  const empty = text => /^[-–—]?$/.test(text);
  for (const box of place.querySelectorAll(".table")) {
    const table = box.querySelector("table"), body = table && table.tBodies[0];
    if (!body || !table.tHead || body.rows.length <= 8) continue;
    const rows = [...body.rows], keys = new Map(rows.map(row => [row, key(row)]));
    const texts = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
    const status = make("span", {}); status.setAttribute("role", "status"); status.setAttribute("aria-live", "polite");
    const input = make("input", {type: "search", autocomplete: "off", spellcheck: false, placeholder: filter});
    const names = [...table.tHead.rows[0].cells].map(cell => cell.textContent.trim().toLowerCase());
    const having = word => {
      const [, name, text] = word.match(/^([^:：]+)[:：](.+)$/) || [], column = name ? names.findIndex(head => head.startsWith(name)) : -1;
      return row => column < 0 ? texts.get(row).includes(word) : row.cells[column].textContent.toLowerCase().includes(text);
    };
    input.setAttribute("aria-label", `${search}: ${box.getAttribute("aria-label")}`);
    const tell = n => { status.textContent = shown.replace("{n}", n.toLocaleString(language)).replace("{all}", rows.length.toLocaleString(language)); };
    const band = () => { let n = 0; for (const row of body.rows) if (!row.hidden) row.style.background = n++ % 2 ? "var(--band)" : "none"; return n; };
    input.addEventListener("input", () => {
      const asked = input.value.toLowerCase().split(/\s+/).filter(Boolean).map(having);
      for (const row of rows) row.hidden = !asked.every(has => has(row));
      tell(band());
    });
    // as a spreadsheet takes it: what is searched for, in the order on the screen; text that it would reckon with is text
    const inert = text => /^[=+@\t\r]|^-(?![\d.,: –()]*$)/.test(text) ? `'${text}` : text;
    const lines = () => [table.tHead.rows[0], ...body.rows].filter(row => !row.hidden)
      .map(row => [...row.cells].map(cell => inert(cell.textContent.trim())));
    const copier = make("button", {type: "button", textContent: copy}), saver = make("button", {type: "button", textContent: save});
    for (const button of [copier, saver]) button.setAttribute("aria-label", `${button.textContent}: ${box.getAttribute("aria-label")}`);
    copier.addEventListener("click", async () => {
      await navigator.clipboard.writeText(lines().map(row => row.map(cell => cell.replace(/\s/g, " ")).join("\t")).join("\n"));
      status.textContent = copied;
    });
    saver.addEventListener("click", () => {
      const quoted = cell => /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
      const text = "\ufeff" + lines().map(row => row.map(quoted).join(",")).join("\r\n") + "\r\n";
      const link = make("a", {href: URL.createObjectURL(new Blob([text], {type: "text/csv"}))});
      link.download = box.getAttribute("aria-label").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) + ".csv";
      link.click();
      URL.revokeObjectURL(link.href);
    });
    box.before(make("div", {className: "tools"}, make("label", {}, search, input), copier, saver, status));
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
};
