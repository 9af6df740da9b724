"""Prisma's schema becomes Python: parsed by Prisma's own parser, written as readable modules."""
