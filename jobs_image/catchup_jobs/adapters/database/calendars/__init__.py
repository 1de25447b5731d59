"""Calendars, events and OAuth tokens."""
