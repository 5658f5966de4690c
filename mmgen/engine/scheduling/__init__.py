"""Who runs next: policies, virtual time, fair queues, gap limiter, cost model and forecasts."""
