"""Live run events over Socket.IO: wiring over the libraries."""

__all__ = ()
