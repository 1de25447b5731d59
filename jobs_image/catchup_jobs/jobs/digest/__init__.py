"""The digest of one user."""
