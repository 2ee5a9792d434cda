"""The database: rows, constraints, queries and migrations. Promises are kept here by constraints."""
