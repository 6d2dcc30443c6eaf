"""Access PostgreSQL: tables, transactions, queries, migrations."""
