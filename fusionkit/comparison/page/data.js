/*
 * The report, its columns, and what its numbers say: which is best, which can't be told from it, how many digits count.
 */

const report = JSON.parse(byId("report").textContent);
const settings = report.settings;
const first = settings[0];

/** What the table has a column for: {name, title, unit, better, isCost, score(setting), difference(setting)}. */
const columns = [
  ...report.metrics.map((metric) => column(metric, "scores", metric.better)),
  ...report.costs.map((cost) => column(cost, "costs", "lower")),
];

function column({ name, title, unit }, kind, better) {
  // Where all values are tiny, they are told in thousandths, millionths, ... as the papers tell KID.
  const values = settings.map((setting) => Math.abs(setting[kind]?.[name]?.value ?? 0));
  const power = better === "closer-to-1" ? 0 : thousandths(Math.max(...values));
  const scaled = (score) => whole(score, 10 ** -power);
  return {
    name,
    title,
    unit: [power ? `10${superscript(power)}` : "", unit].filter(Boolean).join(" "),
    better,
    isCost: kind === "costs",
    score: (setting) => scaled(setting[kind]?.[name]),
    difference: (setting) => scaled(setting.differences?.[name]),
    ofPicture: (picture) => scaled({ value: picture[kind]?.[name] })?.value ?? null,
  };
}

/** The power of ten, 0 or -3 or -6 ..., in which a number below 0.001 is between 1 and 1000. */
function thousandths(number) {
  return 0 < number && number < 0.001 ? 3 * Math.floor(Math.log10(number) / 3) : 0;
}

function superscript(power) {
  return String(power).replace(
    /./g,
    (sign) =>
      ({ "-": "\u207b", 3: "\u00b3", 2: "\u00b2", 1: "\u00b9" })[sign] ?? String.fromCharCode(0x2070 + Number(sign)),
  );
}

/** A score whose value is a number, or null; where it has no interval, its value is its interval. */
function whole(score, factor) {
  if (typeof score?.value !== "number") return null;
  const { value, low, high } = score;
  return { ...score, value: factor * value, low: factor * (low ?? value), high: factor * (high ?? value) };
}

/** The rows of pictures, one for each prompt and seed: {prompt, seed, key, pictures: {setting's name: picture}}. */
const rows = report.prompts.flatMap((_, prompt) =>
  report.seeds.map((seed) => ({ prompt, seed, key: `${prompt}.${seed}`, pictures: {} })),
);
const rowOf = Object.fromEntries(rows.map((row) => [row.key, row]));
for (const picture of report.pictures) {
  const row = rowOf[`${picture.prompt}.${picture.seed}`];
  if (row) row.pictures[picture.setting] = picture;
}

/** The pictures by their keys: "0.5.md" is the first prompt's, of seed 5, by the setting md. */
const pictureOf = new Map(report.pictures.map((picture) => [keyOf(picture), picture]));

function keyOf({ prompt, seed, setting }) {
  return `${prompt}.${seed}.${setting}`;
}

/** How wide pictures are for their height: the median, since one odd picture should not arrange the page. */
const aspect = middle(report.pictures.map(({ width, height }) => width / height)) ?? 1;

function middle(numbers) {
  return numbers.slice().sort((one, other) => one - other)[Math.floor(numbers.length / 2)];
}

/** A score turned so that less is better: {value, low, high}. */
function loss({ better }, { value, low, high }) {
  if (better === "higher") return { value: -value, low: -high, high: -low };
  if (better !== "closer-to-1") return { value, low, high };
  const ends = [Math.abs(low - 1), Math.abs(high - 1)];
  return {
    value: Math.abs(value - 1),
    low: low <= 1 && 1 <= high ? 0 : Math.min(...ends),
    high: Math.max(...ends),
  };
}

/** Which of some settings are best in a column, and whose intervals overlap the best one's: {setting's name: mark}. */
function marks(column, some) {
  if (column.better === "none") return {};
  const losses = some.flatMap((setting) => {
    const score = column.score(setting);
    return score ? [{ name: setting.name, ...loss(column, score) }] : [];
  });
  // Where all are alike, none is best.
  if (new Set(losses.map(({ value }) => value)).size < 2) return {};
  const best = losses.reduce((one, other) => (other.value < one.value ? other : one));
  const found = {};
  for (const { name, value, low } of losses) {
    if (value === best.value) found[name] = "best";
    else if (!column.isCost && low <= best.high) found[name] = "near";
  }
  return found;
}

/** How far settings are apart in a column, in intervals: its largest difference, to the first setting or of any two. */
function separation(column) {
  const half = ({ low, high }) => (high - low) / 2;
  // Without an interval anything may be chance, so that it counts less than anything with one.
  const ratio = (gap, width) => (gap && width ? gap / width : gap && Number.EPSILON);
  const scores = settings.map(column.score).filter(Boolean);
  let largest = 0;
  for (const difference of settings.map(column.difference).filter(Boolean)) {
    largest = Math.max(largest, ratio(Math.abs(difference.value), half(difference)));
  }
  for (const [index, one] of scores.entries()) {
    for (const other of scores.slice(index + 1)) {
      largest = Math.max(largest, ratio(Math.abs(one.value - other.value), Math.hypot(half(one), half(other))));
    }
  }
  return largest;
}

/** What a difference to the first setting says: "better", "worse", "different", or "" where it may be chance. */
function verdict(column, setting) {
  const difference = column.difference(setting);
  if (!difference || (difference.low <= 0 && 0 <= difference.high)) return "";
  const [own, others] = [column.score(setting), column.score(first)];
  if (column.better === "none" || !own || !others) return "different";
  const gain = loss(column, others).value - loss(column, own).value;
  // From 0.9 to 1.1 is a difference, but neither better nor worse: the gain must exceed the difference's uncertainty.
  if (Math.abs(gain) <= (difference.high - difference.low) / 2) return "different";
  return gain > 0 ? "better" : "worse";
}

/** Settings in the order of a column, the best first; those without a score come last, however it is turned. */
function inOrder(column, isReversed) {
  const value = (setting) => {
    const score = column.score(setting);
    return score ? loss(column, score).value : null;
  };
  return settings.slice().sort((one, other) => {
    const [left, right] = [value(one), value(other)];
    if (left === null || right === null) return (left === null) - (right === null);
    return isReversed ? right - left : left - right;
  });
}

/** Digits after the point: two that count of the usual interval, or three of the largest value where there is none. */
function digitsOf(scores) {
  const width = middle(scores.map(({ low, high }) => (high - low) / 2).filter((half) => half > 0));
  if (width) return bounded(1 - Math.floor(Math.log10(rounded(width))), 0, 6);
  const values = scores.map(({ value }) => Math.abs(value));
  if (values.every(Number.isInteger)) return 0;
  return bounded(2 - Math.floor(Math.log10(Math.max(...values))), 0, 6);
}

/** Before digits are counted, so that 0.9996 becomes 1.00 and not 1.000. */
function rounded(number) {
  return Number(number.toPrecision(3));
}

/** Half of an interval's width, after a plus-minus sign. */
function halfWidth({ low, high }, digits) {
  return `\u00b1${fixed((high - low) / 2, digits)}`;
}

function bounded(number, least, most) {
  return Math.min(Math.max(number, least), most);
}

/** A number with so many digits after the point, with a true minus, and none before a zero. */
function fixed(value, digits) {
  const text = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replace(/^-(?=[0.,]*$)/, "").replace("-", "\u2212");
}

function signed(value, digits) {
  const text = fixed(value, digits);
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text;
}

/** A number with three digits that count, or a whole number as it is. */
function brief(value) {
  return Number.isInteger(value) ? fixed(value, 0) : threeDigits(value);
}

function threeDigits(value) {
  const power = Math.floor(Math.log10(Math.abs(rounded(value))));
  return fixed(value, value === 0 ? 2 : bounded(2 - power, 0, 6));
}

/** "3.20 (2.90 to 3.50)". */
function withInterval({ value, low, high }, digits, write = fixed) {
  const interval = high > low ? ` (${write(low, digits)} to ${write(high, digits)})` : "";
  return write(value, digits) + interval;
}

/** A column's title with its unit, which some titles name already: "seconds a picture" needs no "(s)". */
function titled({ title, unit }) {
  return unit && !title.startsWith(unit) ? `${title} (${unit})` : title;
}

/** How a picture scores, in words: [[before the number, number, behind it], ...]. A cost's unit says enough. */
function scoresOf(picture) {
  return columns.flatMap(({ title, unit, isCost, ofPicture }) => {
    const value = ofPicture(picture);
    if (value === null) return [];
    return [isCost ? ["", brief(value), ` ${unit || title}`] : [`${title} `, brief(value), unit ? ` ${unit}` : ""]];
  });
}

/** "Guided Fusion: a landscape photo of a beach, seed 3". */
function titleOf(picture) {
  return `${settings.find(({ name }) => name === picture.setting)?.title}: ${rowTitle(picture)}`;
}

/** "a landscape photo of a beach, seed 3". */
function rowTitle({ prompt, seed }) {
  return `${report.prompts[prompt]}, seed ${seed}`;
}
