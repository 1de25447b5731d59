"""A user's hours, busy time and free slots."""
