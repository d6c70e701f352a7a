"""The SQL port: PostgreSQL's wire protocol."""
