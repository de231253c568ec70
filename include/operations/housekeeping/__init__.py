"""What grows is kept small: Airflow's metadata, our own tables, the stream, logs, old state."""
