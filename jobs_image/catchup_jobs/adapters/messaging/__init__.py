"""Providers of SMS and email, and signed links."""
