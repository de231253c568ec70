"""A process of its own that writes one run, for tests that kill it: `python write_once.py URL`."""

import sys

import psycopg
from measured import people, run

if __name__ == "__main__":
    with psycopg.connect(sys.argv[1]) as connection:
        run(connection, people(400, scale=2.0))
