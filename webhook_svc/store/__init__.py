"""The durable state machine: tables, queries and the committer, on SQLite and on Postgres."""
