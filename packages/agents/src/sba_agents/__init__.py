"""What an agent does: events, tools, runners, durable execution and the queue that drives them."""
