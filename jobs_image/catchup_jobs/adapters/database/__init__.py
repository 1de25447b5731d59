"""The database: SQLite (embedded default) and PostgreSQL behind one set of tables and repositories."""
