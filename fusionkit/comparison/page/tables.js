/*
 * The table of scores as LaTeX and as Markdown, of the settings that are shown and in their order.
 */

const tables = JSON.parse(byId("tables").textContent);
/** A cell has a text for each of these. */
const CELL_MARKS = ["", "best", "near"];

function makeTableButtons() {
  for (const [file, language] of Object.entries({ "scores.tex": "LaTeX", "scores.md": "Markdown" })) {
    const title = `The scores of the settings that are shown. The table of all is in ${file}`;
    byId("scores-tools").append(copyButton(`Copy as ${language}`, () => tableText(tables[file]), { title }));
  }
}

function tableText({ above, rows: lines, below, line: [start, between, end], columns: names }) {
  const shown = shownSettings();
  const found = names.map((name) => marks(columns.find(named(name)), shown));
  const texts = inTableOrder()
    .filter((setting) => shown.includes(setting))
    .map(({ name }) => {
      const [title, cells] = lines[name];
      const own = cells.map((texts, index) => texts[CELL_MARKS.indexOf(found[index][name] ?? "")]);
      return start + [title, ...own].join(between) + end;
    });
  return above + texts.join("") + below;
}
