"""Files of this machine: imports, keys, locks."""
