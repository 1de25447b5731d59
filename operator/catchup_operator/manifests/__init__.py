"""What is applied: CronJob manifests from a UserSchedule and the job template. No I/O."""
