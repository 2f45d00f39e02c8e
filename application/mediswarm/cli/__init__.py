"""The command line: one file for each group, no logic."""

from mediswarm.cli.app import main

__all__ = ["main"]
