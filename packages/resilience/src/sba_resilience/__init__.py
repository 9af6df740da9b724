"""Calls that leave the process: deadlines, retries, breakers and one guarded Redis client."""
