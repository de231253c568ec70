"""Interventions: proposed from supported estimates, checked, approved by people, executed once, measured, undone."""
