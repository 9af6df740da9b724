"""`python -m tools.prisma COMMAND`: Prisma's parser and command line, from npm at pinned digests."""

from __future__ import annotations

import sys

from tools.prisma import generation, node, verification
from tools.prisma.datamodel import Unsupported
from tools.prisma.parser import ParserMissing, SchemaRejected

USAGE = """usage: python -m tools.prisma COMMAND

  install            fetch Prisma from npm as package-lock.json pins it
  generate           parse schema.prisma and write sba_db/models
  generate --check   exit 1 if that would change anything
  cli ARG ...        Prisma's own command line, its engine included
  verify             ask Prisma about a database that `sba-db migrate` made
"""


COMMANDS = {
    ("install",): node.install,
    ("generate",): generation.generate,
    ("generate", "--check"): generation.check,
    ("verify",): verification.verify,
}


def main(arguments: list[str]) -> int:
    """Run one command; its exit code is the answer."""
    command = COMMANDS.get(tuple(arguments))
    if command is None and arguments[:1] != ["cli"]:
        print(USAGE, end="", file=sys.stderr)
        return 2
    try:
        return command() if command else node.prisma(arguments[1:])
    except (ParserMissing, SchemaRejected, Unsupported, node.NodeMissing) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
