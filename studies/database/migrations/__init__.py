"""Alembic revisions that create and change the tables of `schema.py`, one numbered file each.

`connection.py` runs them from the installed package when a database is opened for writing. They
change only tables whose name starts with `attentune_`. To change the schema, add the next number
under `versions/`, and raise `schema.HEAD`.
"""
