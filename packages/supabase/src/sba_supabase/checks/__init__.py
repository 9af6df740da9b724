"""What the checks of files have in common: findings, reports, allow-lists, and their commands."""
