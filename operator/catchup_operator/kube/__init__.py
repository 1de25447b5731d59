"""Requests to the API server: configuration, transport, client, list+watch, and the fields that are read."""
