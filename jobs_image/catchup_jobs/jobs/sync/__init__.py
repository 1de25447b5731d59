"""The calendar sync of one user."""
