"""What happened: context, logs, traces, metrics and redaction, one call away from every library."""
