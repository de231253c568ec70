"""Operations: error classes, retries, alerts, statistics and housekeeping of all pipelines."""
