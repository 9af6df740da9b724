"""The types of the database: `database` is generated, `schema` is the form it is generated in."""
