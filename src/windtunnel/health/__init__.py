"""Judges a stack and changes nothing: what `status` and `wait` say.

checks.py asks the services, status.py draws conclusions.
Imports reconciler and below.
"""
