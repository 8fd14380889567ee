"""The shared pieces of pages for people: time line, style, hiding of secrets, one whole file.

The pages themselves are written by `testing.report`, `drill` and `bench`.
"""
