/*
 * Zoom and pan in step. One lens is shared by all panes: each shows the same region of its picture.
 *
 * A region is a centre, relative to the picture's sides, and a zoom relative to the whole picture in its pane. So
 * pictures of different sizes are aligned too. A change is one transform for each picture, once a frame: the browser
 * has nothing to lay out.
 */

/** A pixel of the largest picture becomes at most so many of the page. */
const LARGEST_PIXEL = 32;
const WHEEL_SPEED = 0.0015;

class Lens {
  /** Panes: [{frame, image, width, height}], frame and image elements and the picture's size in pixels. */
  panes = [];
  zoom = 1;
  x = 0.5;
  y = 0.5;
  #frame = 0;
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  /** Take other panes; the region stays, so that the next row of pictures is seen at the same spot. */
  show(panes) {
    this.panes = panes;
    this.measure();
  }

  /** Lay the pictures out to fit their frames; needed when those change, never for zoom and pan. */
  measure() {
    for (const pane of this.panes) {
      pane.across = pane.frame.clientWidth;
      pane.down = pane.frame.clientHeight;
      pane.fit = Math.min(pane.across / pane.width, pane.down / pane.height) || 1;
      pane.image.style.width = `${pane.width * pane.fit}px`;
      pane.image.style.height = `${pane.height * pane.fit}px`;
    }
    this.#move(this.zoom, this.x, this.y);
  }

  fitAll() {
    this.#move(1, 0.5, 0.5);
  }

  /** A pixel of the first picture becomes one of the page. */
  actualPixels() {
    if (this.panes.length) this.#move(1 / this.panes[0].fit, this.x, this.y);
  }

  /** Pixels of the page for one of the first picture. */
  get magnification() {
    return this.panes.length ? this.zoom * this.panes[0].fit : 1;
  }

  /** Zoom by a factor; what is at (left, top) of a pane's frame, in pixels, stays there. By default its middle. */
  zoomBy(factor, pane = this.panes[0], left = pane?.across / 2, top = pane?.down / 2) {
    if (!pane) return;
    const zoom = this.#bounded(this.zoom * factor);
    const [wide, high] = [pane.width * pane.fit, pane.height * pane.fit];
    // From the frame's middle to the pointer, in parts of the picture, before and after.
    const part = 1 / this.zoom - 1 / zoom;
    const x = this.x + ((left - pane.across / 2) / wide) * part;
    const y = this.y + ((top - pane.down / 2) / high) * part;
    this.#move(zoom, x, y);
  }

  /** Move the pictures by so many pixels of the page, as a drag in a pane does. */
  panBy(right, down, pane = this.panes[0]) {
    if (!pane) return;
    const x = this.x - right / (pane.width * pane.fit * this.zoom);
    const y = this.y - down / (pane.height * pane.fit * this.zoom);
    this.#move(this.zoom, x, y);
  }

  #bounded(zoom) {
    const most = Math.max(...this.panes.map(({ fit }) => LARGEST_PIXEL / fit), 1);
    return bounded(zoom, 1, most);
  }

  #move(zoom, x, y) {
    this.zoom = this.#bounded(zoom);
    // The centre stays where some pane is full to its border.
    const half = (side) => Math.min(0.5, ...this.panes.map((pane) => side(pane) / (2 * this.zoom * pane.fit)));
    const [halfWide, halfHigh] = [
      half(({ across, width }) => across / width),
      half(({ down, height }) => down / height),
    ];
    this.x = bounded(x, halfWide, 1 - halfWide);
    this.y = bounded(y, halfHigh, 1 - halfHigh);
    // However many events a frame brings, the pictures move once.
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint() {
    for (const { frame, image, width, height, fit, across, down } of this.panes) {
      const [wide, high] = [width * fit * this.zoom, height * fit * this.zoom];
      // A picture that is narrower than its frame is in its middle.
      const left = onPixel(wide <= across ? (across - wide) / 2 : across / 2 - this.x * wide);
      const top = onPixel(high <= down ? (down - high) / 2 : down / 2 - this.y * high);
      image.style.transform = `translate(${left}px, ${top}px) scale(${this.zoom.toFixed(5)})`;
      frame.classList.toggle("magnified", this.zoom * fit * devicePixelRatio > 1);
    }
    this.#changed();
  }
}

/** The nearest whole pixel of the screen: between two, a picture at its own size would be blurred. */
function onPixel(position) {
  return Math.round(position * devicePixelRatio) / devicePixelRatio;
}

/** Let wheel, drag, pinch and double click over a frame move a lens. `pane()` is the lens' pane of that frame. */
function listenToGestures(frame, lens, pane) {
  const pointers = new Map();
  const position = (event) => {
    const { left, top } = frame.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };

  frame.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
      // A pinch on a touchpad comes as a wheel with the control key, in small steps.
      const speed = WHEEL_SPEED * lines * (event.ctrlKey ? 5 : 1);
      lens.zoomBy(Math.exp(-event.deltaY * speed), pane(), ...position(event));
    },
    { passive: false },
  );
  frame.addEventListener("dblclick", (event) => lens.zoomBy(event.shiftKey ? 0.5 : 2, pane(), ...position(event)));
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    frame.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, position(event));
    frame.classList.add("dragged");
  });
  frame.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = spread([...pointers.values()]);
    pointers.set(event.pointerId, position(event));
    const after = spread([...pointers.values()]);
    lens.panBy(after.left - before.left, after.top - before.top, pane());
    if (before.distance) lens.zoomBy(after.distance / before.distance, pane(), after.left, after.top);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    frame.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) frame.classList.remove("dragged");
    });
  }
}

/** The middle of one pointer or two, and their distance; 0 for one. */
function spread([one, other = one]) {
  return {
    left: (one[0] + other[0]) / 2,
    top: (one[1] + other[1]) / 2,
    distance: Math.hypot(one[0] - other[0], one[1] - other[1]),
  };
}
