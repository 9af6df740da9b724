"""``python -m sba_ws`` is ``sba-ws``."""

from sba_ws.cli import main

main()
