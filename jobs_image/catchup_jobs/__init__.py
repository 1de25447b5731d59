"""CatchUp's background jobs: calendar sync, suggestions and digests."""

__version__ = "0.1.0"
