"""Run statistics: roll-ups of Airflow's metadata in `ops.workflow_stats`, and the weekly digest made of them."""
