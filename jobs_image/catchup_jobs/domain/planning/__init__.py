"""Whom to suggest, when and why."""
