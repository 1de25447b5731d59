"""Users and their contacts."""
