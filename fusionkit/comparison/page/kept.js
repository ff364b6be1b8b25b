/*
 * The favourites that this browser keeps for this page, from one visit to the next.
 */

/** Pages opened from disk share one storage, so each has a shelf of its own there. */
const SHELF = `fusionkit favourites of ${location.pathname}`;

/** The keys that are kept; none where the browser keeps nothing for pages from disk. */
function keptFavourites() {
  try {
    const found = JSON.parse(localStorage.getItem(SHELF) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

/** Keep a picture, or keep it no more. The others stay, also those that a link did not show. */
function keepFavourite(key, isOn) {
  const others = keptFavourites().filter((each) => each !== key);
  try {
    localStorage.setItem(SHELF, JSON.stringify(isOn ? [...others, key] : others));
  } catch {
    // The address still has them.
  }
}
