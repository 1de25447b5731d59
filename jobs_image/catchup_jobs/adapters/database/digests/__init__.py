"""Digests and deliveries."""
