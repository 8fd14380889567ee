"""Judges a stack and changes nothing: the answers of `status` and `wait`.

checks.py asks the services, judgement.py says which processes are healthy, and problems.py advises.
Imports reconciler and below.
"""
