"""What the operator remembers between reconciliations. Rebuilt from the API server at each start. No I/O."""
