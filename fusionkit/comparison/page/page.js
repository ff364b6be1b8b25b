/*
 * The page, part by part. Each part watches what is chosen and shows it.
 */

/** Ways to the parts below the pictures, of which there may be many. */
function makeParts() {
  const ways = { "scores-title": "Scores", "plot-title": "Plot" };
  for (const [id, text] of Object.entries(ways)) {
    const heading = byId(id);
    if (heading.closest("[hidden]")) continue;
    heading.tabIndex = -1;
    const go = () => {
      heading.scrollIntoView();
      heading.focus({ preventScroll: true });
    };
    byId("parts").append(element("button", { type: "button", click: go }, `${text} \u2193`));
  }
}

makeFilters();
makePictures();
makeSeeds();
makeScores();
makeTableButtons();
makePlot();
makeParts();
makeViewer();
