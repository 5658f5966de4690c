"""What is seen of the engine: metrics, traces, snapshots and the simulator."""
