/* What the elements share: making nodes, tables, the state in the address.  A part, not an element: a script asks
   for it with "needs: page" in its head.  Classic script: one name on globalThis, nothing imported. */
(function () {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";

  /* An HTML element with its properties and children. */
  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  /* An SVG element with its attributes and, for texts, its words. */
  function drawn(tag, attributes, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /* A data table: the first cell of each row is its head. */
  function table(caption, head, rows) {
    const body = rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row", textContent: first }),
      ...rest.map((text) => element("td", { textContent: text }))));
    return element("table", {}, element("caption", { textContent: caption }),
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col", textContent: text })))),
      element("tbody", {}, ...body));
  }

  /* The state in the address; a plain anchor holds none. */
  const readHash = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  /* One key of the address; null removes it.  A plain anchor in the address gives way. */
  function writeHash(key, value) {
    const state = readHash();
    if (value === null) state.delete(key);
    else state.set(key, value);
    const hash = state.toString();
    try {
      history.replaceState(history.state, "", hash ? `#${hash}` : location.pathname + location.search);
    } catch (error) {
      /* file:// may refuse: the element works, only the address does not follow. */
    }
  }

  /* The element's key in the address: its id, else its name with its place among its kind. */
  function keyOf(node, stem) {
    return node.id || `${stem}${[...document.querySelectorAll(node.localName)].indexOf(node) + 1}`;
  }

  const held = new WeakSet();

  /* move(event) until the pointer that went down is lifted, then lifted(); false for a second finger. */
  function drag(node, down, move, lifted = () => {}) {
    down.preventDefault();
    if (held.has(node)) return false;
    node.setPointerCapture(down.pointerId);
    held.add(node);
    const over = new AbortController();
    const own = (act) => (event) => { if (event.pointerId === down.pointerId) act(event); };
    const end = own(() => {
      over.abort();
      held.delete(node);
      lifted();
    });
    node.addEventListener("pointermove", own(move), { signal: over.signal });
    for (const name of ["pointerup", "pointercancel"]) node.addEventListener(name, end, { signal: over.signal });
    return true;
  }

  /* Node has no HTMLElement; what an element's script computes can be called there too. */
  const Base = typeof HTMLElement === "undefined" ? Object : HTMLElement;

  /* An element that builds itself once, when its content has been parsed. */
  class BookElement extends Base {
    connectedCallback() {
      if (this.ready) return;
      this.ready = true;
      if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", () => this.build(), { once: true });
      } else this.build();
    }
  }

  function define(name, constructor) {
    if (typeof customElements !== "undefined" && !customElements.get(name)) customElements.define(name, constructor);
  }

  globalThis.BookPage = { element, drawn, table, readHash, writeHash, keyOf, drag, BookElement, define };
})();
