/* Small repairs on every page; visible strings in one table. */
(function () {
  "use strict";

  const TEXT = { scroll: "Wide content, scrolls sideways" };
  const WIDE = "pre, mjx-container[display], .pst-scrollable-table-container, .cell_output, .rn-data, .rn-drawing, .rn-net-stages";

  // Search shows an extract of each hit by fetching the page, which browsers refuse on file://.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS === "object") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // What scrolls must be reachable with the keyboard.
  function markScrollers() {
    for (const box of document.querySelectorAll(WIDE)) {
      if (box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        if (!box.matches("mjx-container")) {
          box.setAttribute("role", "group");
          box.setAttribute("aria-label", TEXT.scroll);
        }
      } else if (box.getAttribute("aria-label") === TEXT.scroll) {
        box.removeAttribute("tabindex");
        box.removeAttribute("role");
        box.removeAttribute("aria-label");
      }
    }
  }

  function start() {
    const math = globalThis.MathJax && MathJax.startup && MathJax.startup.promise;
    Promise.resolve(math).then(markScrollers);
    addEventListener("resize", markScrollers);
    document.addEventListener("toggle", markScrollers, true);
  }

  if (document.readyState === "complete") start();
  else addEventListener("load", start);
})();
