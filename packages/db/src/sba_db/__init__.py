"""What ran: the internal tables behind tenant sessions that cannot leak, with Prisma's schema and migrations as their source."""
