"""Graph metrics of the people graph, computed every six hours from one edge list in memory.

`snapshot` is what was read, `ties` the graphs made of it, `betweenness`, `local`, `ranks` and `communities` the
figures, `definitions` what each one means. Nothing here is imported when a DAG file is read.
"""
