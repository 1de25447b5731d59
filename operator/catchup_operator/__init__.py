"""The kopf operator that reconciles UserSchedule resources into CronJobs."""
