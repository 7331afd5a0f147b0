"""How the tables of `schema.py` came to be, one numbered Alembic revision a file.

`database.py` runs them from the installed package when a database is opened for writing; they
touch only tables whose name starts with `attentune_`. To change the schema, add the next number
under `versions/`, and raise `schema.HEAD`.
"""
