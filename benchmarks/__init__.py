"""Benchmarks: each runs ours and a peer, or a limit, in one run and prints the ratio."""
