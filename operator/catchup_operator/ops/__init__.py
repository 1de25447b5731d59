"""For whoever runs the operator: probes, metrics, the forecast and the preparation of an uninstall."""
