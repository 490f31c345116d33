"""Measurements of single chapters: each module is one idea, and nothing that trains needs it."""
