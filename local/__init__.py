"""The whole system on one machine, without Docker: embedded servers, Airflow, and a supervisor over them."""
