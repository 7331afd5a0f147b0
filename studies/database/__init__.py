"""The database: connection, tables, migrations, and a repository for each thing that it holds.

Only this folder uses SQLAlchemy.
"""
