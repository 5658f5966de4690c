"""What operators see of requests: logs with their ids, and traces."""
