"""The report of failed tests (`--windtunnel-report-dir`): files for each test, and one page.

`plugin` is loaded where the option is given; the rest when a test has failed.
"""
