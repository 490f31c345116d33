"""A package, so that a chapter's test may have the same file name as a module's: test_degradation.py is in both."""
