"""The faults of this machine and of a stack's surroundings, each with the command that repairs it.

It looks and advises; it repairs nothing.
Imports stack and below.
"""
