"""The Sphinx extension of this book: roles, directives, the execution cache and fixes of the theme."""

from . import bibliography, cache, elements, glue, mathjax, page, pending, status, takeaway

__version__ = "0.1.0"


def setup(app):
    pages = pending.LatePages()
    bibliography.setup(app)
    cache.setup(app, pages)
    pending.setup(app, pages)
    status.setup(app, pages)
    elements.setup(app)
    glue.setup(app)
    mathjax.setup(app)
    page.setup(app)
    takeaway.setup(app)
    # Serial on purpose: notebooks share two cores and one run store, and LatePages is not merged.
    return {"version": __version__, "parallel_read_safe": False, "parallel_write_safe": False}
