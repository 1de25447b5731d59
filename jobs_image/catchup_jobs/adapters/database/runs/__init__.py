"""Runs and dead letters."""
