"""Commands about users: who they are, their calendars, suggestions and schedules."""
