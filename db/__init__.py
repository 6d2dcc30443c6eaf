"""PostgreSQL: tables, transactions, queries, migrations."""
