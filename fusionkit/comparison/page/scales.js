/*
 * The plot's scales: from numbers to pixels, with ticks at round numbers.
 */

/** An even scale from numbers to pixels, with ticks at round numbers. */
function linear(numbers, from, to, count) {
  let [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  // Costs and scores of 0 or more get no axis below 0.
  [low, high] = [low >= 0 ? Math.max(low - room, 0) : low - room, high + room];
  const rough = (high - low) / Math.max(count, 2);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1)
    ticks.push(Number((index * step).toPrecision(12)));
  return { ticks, at: (value) => from + ((value - low) / (high - low)) * (to - from) };
}

/** A logarithmic scale, with ticks at 1, 2 and 5 of each power of ten. */
function logarithmic(numbers, from, to, count) {
  const [low, high] = [Math.log10(Math.min(...numbers)) - 0.08, Math.log10(Math.max(...numbers)) + 0.08];
  let ticks = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    for (const factor of [1, 2, 5]) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
  }
  ticks = ticks.filter((value) => low <= Math.log10(value) && Math.log10(value) <= high);
  if (ticks.length > 2 * Math.max(count, 2))
    ticks = ticks.filter((value) => Number.isInteger(Number(Math.log10(value).toFixed(9))));
  return { ticks, at: (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from) };
}

function tickText(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: 6 }).replace("-", "\u2212");
}
