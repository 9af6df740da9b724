"""Pure ASGI layers around every route, outermost first: observe, cors, address, deadline, body."""

from sba_api.middleware.body import BodyLimit
from sba_api.middleware.cors import Cors
from sba_api.middleware.observe import Observe
from sba_api.middleware.security import security_headers
from sba_api.middleware.time_limit import TimeLimit

__all__ = ["BodyLimit", "Cors", "Observe", "TimeLimit", "security_headers"]
