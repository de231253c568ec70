"""Runs the command line in this process."""

from tests.cli_runner import cli

__all__ = ["cli"]
