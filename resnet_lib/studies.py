"""The small experiments of single chapters, each one question and its controls."""

STUDIES = ()
