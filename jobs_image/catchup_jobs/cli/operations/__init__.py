"""Commands for whoever operates an installation: runs, failures, deliveries, keys, the schema."""
