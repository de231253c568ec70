"""Causal analysis of panels: people x periods. Pure numerics, no database; `docs/causal.md` says how it works."""
