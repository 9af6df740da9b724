"""Small services in the place of the real ones."""

import sys

from sba_local.services import Service

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
print("listening for", os.environ["SBA_LOCAL_DATA_DIR"], flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


async def unprepared(_server, _secrets):
    """Nothing: the small services use no database."""


def small_services(environment):
    told = {"SBA_LOCAL_DATA_DIR": environment["SBA_LOCAL_DATA_DIR"]}
    server = [sys.executable, "-c", SERVER, environment["SBA_API_PORT"]]
    return [
        Service("api", server, told, f"{environment['SBA_API_URL']}/readyz"),
        Service("worker", [sys.executable, "-c", "import time; time.sleep(600)"], told),
    ]
