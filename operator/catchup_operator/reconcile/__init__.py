"""Reconciliation of one UserSchedule, the work queue, and the loops that feed it."""
