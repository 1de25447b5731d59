"""Google's Calendar API and OAuth endpoints."""
