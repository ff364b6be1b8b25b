/*
 * The page, part by part. Each part watches what is chosen and shows it.
 */

makeScores();
makePlot();
makeFilters();
makePictures();
makeViewer();
