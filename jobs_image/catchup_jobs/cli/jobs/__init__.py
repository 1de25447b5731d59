"""Commands that run a job."""
