"""Busy time and free slots."""
