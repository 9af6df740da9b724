"""The whole platform on one machine: Postgres, Valkey, a development issuer, the services and the demo."""

__all__: list[str] = []
