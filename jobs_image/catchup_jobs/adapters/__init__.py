"""The outside systems, one package each."""
