"""The whole platform on one machine, from wheels: Postgres, Valkey, a development issuer, the services and the demo."""
