"""How kopf is set up and wrapped: settings, storages, backpressure, reads that survive an outage."""
