"""Documentation pages that are made from the code: `python -m include.operations.docs [--check]`."""
