"""The suggestions of a shard of users, or of one user."""
