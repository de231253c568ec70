"""Burnout assessments: what people answered to a named instrument, with their consent, as the outcome of analyses."""
