/*
 * The plot of a metric against a cost, redrawn when something is chosen or the window changes.
 */

const PLOT_HEIGHT = 340;
const MARGIN = { top: 14, right: 24, bottom: 46, left: 64 };
/** Above this ratio of the largest cost to the smallest, the axis of costs is logarithmic. */
const WIDE_SPAN = 8;
const LABEL_HEIGHT = 16;
/** Where a label may be, the best place first: pixels to the side of its point, and below it. */
const LABEL_PLACES = [
  [10, 0],
  [9, -14],
  [9, 14],
  [4, -28],
  [4, 28],
  [0, -42],
  [0, 42],
];

function makePlot() {
  if (!report.metrics.length || !report.costs.length) {
    byId("plot-section").hidden = true;
    return;
  }
  const titles = (list) => list.map((each) => [each.name, each.title]);
  const [metricLabel, metricSelect] = selection("Score", titles(report.metrics), (metric) => choose({ metric }));
  const [costLabel, costSelect] = selection("Cost", titles(report.costs), (cost) => choose({ cost }));
  byId("plot-tools").append(metricLabel, costLabel);
  const draw = () => {
    metricSelect.value = state.metric;
    costSelect.value = state.cost;
    drawPlot(byId("plot"), columns.find(named(state.metric)), columns.find(named(state.cost)));
  };
  watch(draw);
  let width = byId("plot").clientWidth;
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) < 1) return;
    width = contentRect.width;
    draw();
  }).observe(byId("plot"));
}

function named(name) {
  return (column) => column.name === name;
}

function drawPlot(parent, metric, cost) {
  const scored = shownSettings().flatMap((setting) => {
    const [x, y] = [cost.score(setting), metric.score(setting)];
    return x && y ? [{ setting, x, y }] : [];
  });
  if (!scored.length) {
    byId("plot-legend").textContent = "";
    const says = "No setting that is shown has both this score and this cost.";
    parent.replaceChildren(element("p", { class: "notice" }, says));
    return;
  }
  const width = Math.max(parent.clientWidth, 280);
  const area = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: PLOT_HEIGHT - MARGIN.bottom };
  const costs = scored.flatMap(({ x }) => [x.low, x.value, x.high]);
  const scores = scored.flatMap(({ y }) => [y.low, y.value, y.high]);
  const isLogarithmic = Math.min(...costs) > 0 && Math.max(...costs) / Math.min(...costs) > WIDE_SPAN;
  const across = (isLogarithmic ? logarithmic : linear)(costs, area.left, area.right, Math.floor(width / 110));
  const down = linear(scores, area.bottom, area.top, 6);
  const points = scored.map((each) => ({
    ...each,
    left: across.at(each.x.value),
    top: down.at(each.y.value),
    /** The intervals in pixels, from left to right and from top to bottom. */
    wide: [across.at(each.x.low), across.at(each.x.high)],
    high: [down.at(each.y.high), down.at(each.y.low)],
  }));
  const front = paretoFront(points, metric, cost);

  const label = `${metric.title} against ${cost.title}`;
  const svg = drawn("svg", { width, height: PLOT_HEIGHT, role: "group", "aria-label": label });
  const tip = element("div", { class: "tip", role: "tooltip", hidden: true });
  drawAxes(svg, area, across, down, [
    `${titled(cost)} ${direction(cost)}${isLogarithmic ? ", logarithmic" : ""}`,
    `${titled(metric)} ${direction(metric)}`.trim(),
  ]);
  if (front.length > 1) {
    svg.append(drawn("polyline", { class: "front", points: front.map(({ left, top }) => `${left},${top}`).join(" ") }));
  }
  for (const point of points) {
    const lines = [point.setting.title, told(metric, point.y), told(cost, point.x)];
    svg.append(drawPoint(point, lines, front.includes(point), tip));
  }
  parent.replaceChildren(svg, tip);
  placeLabels(svg, points, { ...area, right: width });
  byId("plot-legend").textContent =
    "Bars are 95 % intervals of the score, and the spread of the cost over pictures." +
    (front.length > 1 ? " Along the dashed line no other setting shown is both better and cheaper." : "");
}

function drawAxes(svg, { left, right, top, bottom }, across, down, [below, beside]) {
  for (const value of down.ticks) {
    const y = down.at(value);
    svg.append(
      drawn("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }),
      drawn("text", { class: "tick y", "data-value": value, x: left - 8, y, dy: "0.32em" }, tickText(value)),
    );
  }
  for (const value of across.ticks) {
    const x = across.at(value);
    svg.append(
      drawn("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }),
      drawn("text", { class: "tick x", "data-value": value, x, y: bottom + 18 }, tickText(value)),
    );
  }
  const upwards = `translate(14 ${(top + bottom) / 2}) rotate(-90)`;
  svg.append(
    drawn("text", { class: "axis", x: (left + right) / 2, y: PLOT_HEIGHT - 6 }, below),
    drawn("text", { class: "axis", transform: upwards }, beside),
  );
}

/** "FID: 3.00 (2.60 to 3.40)". */
function told(column, score) {
  return `${column.title}: ${withInterval(score, digitsOf([score]))} ${column.unit}`.trim();
}

function drawPoint({ setting, left, top, wide, high }, lines, isFront, tip) {
  const show = () => {
    tip.replaceChildren(...lines.map((line, index) => element(index ? "div" : "b", {}, line)));
    tip.hidden = false;
    const space = tip.parentElement.clientWidth - tip.offsetWidth;
    const x = bounded(left - tip.offsetWidth / 2, 0, space);
    const above = top - tip.offsetHeight - 12;
    tip.style.transform = `translate(${x}px, ${above > 0 ? above : top + 14}px)`;
  };
  const hide = () => (tip.hidden = true);
  const attributes = {
    class: `point${isFront ? " on-front" : ""}`,
    "data-setting": setting.name,
    tabindex: 0,
    role: "img",
    "aria-label": lines.join(", "),
    pointerenter: show,
    pointerleave: hide,
    focus: show,
    blur: hide,
  };
  return drawn(
    "g",
    attributes,
    high[1] > high[0] ? drawn("path", { class: "interval", d: `M${left} ${high[0]}V${high[1]}` }) : "",
    wide[1] > wide[0] ? drawn("path", { class: "interval", d: `M${wide[0]} ${top}H${wide[1]}` }) : "",
    drawn("circle", { class: "target", cx: left, cy: top, r: 16 }),
    drawn("circle", { class: "dot", cx: left, cy: top, r: 5 }),
  );
}

/** Put each label where it covers least: points, intervals and the labels before it. */
function placeLabels(svg, points, area) {
  const obstacles = points.flatMap(({ left, top, wide, high }) => [
    box(left - 7, top - 7, 14, 14),
    box(left - 2, high[0], 4, high[1] - high[0]),
    box(wide[0], top - 2, wide[1] - wide[0], 4),
  ]);
  for (const { setting, left, top } of points) {
    const text = drawn("text", { class: "label", "data-label": setting.name }, setting.title);
    svg.append(text);
    const width = text.getComputedTextLength();
    const places = LABEL_PLACES.flatMap(([away, lower]) => [
      box(left + away, top - LABEL_HEIGHT / 2 + lower, width, LABEL_HEIGHT),
      box(left - away - width, top - LABEL_HEIGHT / 2 + lower, width, LABEL_HEIGHT),
    ]);
    const covered = places.map(
      (place) => outside(place, area) * 1000 + obstacles.reduce((sum, each) => sum + overlap(place, each), 0),
    );
    const best = places[covered.indexOf(Math.min(...covered))];
    text.setAttribute("x", best.x);
    text.setAttribute("y", best.y + 0.75 * LABEL_HEIGHT);
    obstacles.push(best);
  }
}

/** How many pixels of a box's sides are outside of an area. */
function outside({ x, y, wide, high }, { left, right, top, bottom }) {
  return [left - x, x + wide - right, top - y, y + high - bottom].reduce((sum, each) => sum + Math.max(each, 0), 0);
}

function box(x, y, wide, high) {
  return { x, y, wide, high };
}

function overlap(one, other) {
  const wide = Math.min(one.x + one.wide, other.x + other.wide) - Math.max(one.x, other.x);
  const high = Math.min(one.y + one.high, other.y + other.high) - Math.max(one.y, other.y);
  return wide > 0 && high > 0 ? wide * high : 0;
}

/** The points that no other one beats in score without a higher cost, by cost. */
function paretoFront(points, metric, cost) {
  if (metric.better === "none") return [];
  const value = (column, score) => loss(column, score).value;
  const sorted = points
    .slice()
    .sort((one, other) => value(cost, one.x) - value(cost, other.x) || value(metric, one.y) - value(metric, other.y));
  const front = [];
  for (const point of sorted) {
    if (!front.length || value(metric, point.y) < value(metric, front.at(-1).y)) front.push(point);
  }
  return front;
}
