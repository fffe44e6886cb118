"""What outlives the process: tasks, changes and violations in SQLite or PostgreSQL."""
