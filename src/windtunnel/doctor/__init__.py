"""What is missing or wrong on this machine or with a stack, and the command that mends it.

It looks and advises; it repairs nothing.
Imports stack and below.
"""
