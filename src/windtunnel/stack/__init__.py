"""Changes a stack: up, down, scale, drain, run, reset, and the launcher called process-compose.

Each file is one command, or what several of them share.
Imports health and below.
"""
