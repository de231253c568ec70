"""Causal Organism: who works with whom, from a Redis stream into a Neo4j people graph."""
