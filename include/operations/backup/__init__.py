"""Backups: of Airflow's metadata database, of the warehouse, and of the people graph.

A backup is a folder of its own, `<source>-<UTC time>/`, with the data and a `manifest.json` that says what must be in
them. It appears by one rename when it is whole, so a killed backup leaves nothing that looks like one.
"""
