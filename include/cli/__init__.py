"""The command line: `python -m include.cli`. One module a group of commands; what they do lives elsewhere."""
