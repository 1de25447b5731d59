"""Suggestions, what they are planned from, and answers."""
