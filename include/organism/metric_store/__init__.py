"""Measurements of people over time in the warehouse, and what is published of groups.

* `writer`: one run's measurements, in one fenced transaction.
* `rollup`: means by hour and day. `layout`: partitions or chunks, made ahead and dropped when they are old.
* `cohorts`, `teams`: which groups may be published, and their numbers. `trend`: reading them.
"""
