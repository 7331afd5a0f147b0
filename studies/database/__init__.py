"""The database: connection, tables, migrations, and a repository for each kind of record.

Only this folder uses SQLAlchemy.
"""
