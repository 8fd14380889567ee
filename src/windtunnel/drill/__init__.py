"""Breaks a stack on purpose and sees it heal: rehearsal, scenarios, and the clusters they run on.

The same scenarios run in pytest, in `windtunnel drill`, on several hosts and on NixOS machines.
Imports doctor and below.
"""
