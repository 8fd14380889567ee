"""The failures that this deployment promises to survive: each function breaks something and looks.

catalogue.py lists them, with the row of the failure table that each belongs to.
They know the protocol in drill/cluster.py, never one kind of cluster.
"""
