"""The warehouse: the Postgres (or TimescaleDB) behind the connection `warehouse`, and its schema."""
