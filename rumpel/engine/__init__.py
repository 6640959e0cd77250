"""Nodes, plans and execution; knows no Docker, git or SSH word."""
