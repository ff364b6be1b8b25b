// Lets pages that are opened from a folder be searched: browsers refuse workers there, and search is one.
// An empty frame takes its place, in which the worker's script runs as it is.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.onmessage = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = (this.inside = this.frame.contentWindow);
      const load = (source) =>
        new Promise((done, failed) => {
          const script = inside.document.createElement("script");
          Object.assign(script, { src: source, onload: done, onerror: failed });
          inside.document.head.append(script);
        });
      inside.importScripts = (...sources) => sources.reduce((before, each) => before.then(() => load(each)), Promise.resolve());
      inside.postMessage = (data) => setTimeout(() => this.tell(data));
      this.loaded = load(String(new URL(address, document.baseURI)));
    }
    tell(data) {
      const event = new MessageEvent("message", { data: structuredClone(data) });
      this.dispatchEvent(event);
      this.onmessage?.(event);
    }
    postMessage(data) {
      const sent = structuredClone(data);
      this.loaded.then(() => this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data: sent })));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
