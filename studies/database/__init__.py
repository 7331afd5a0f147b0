"""The database: tables, migrations, queries, writes, leases. Only it uses SQLAlchemy."""
