"""`python -m sba_local.show`: the demo, against the stack that the environment names."""

import sys

from sba_local import demo
from sba_local.settings import inherited_environment

if __name__ == "__main__":
    sys.exit(demo.run(inherited_environment()))
