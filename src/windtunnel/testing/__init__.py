"""The pytest plugin: tests that run DAGs on real workers, and break the stack meanwhile.

A test session starts one stack at its first use. `plugin` is what pytest loads.
Imports drill and below.
"""
