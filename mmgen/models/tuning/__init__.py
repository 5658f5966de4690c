"""Which precision a model runs in on this machine: measured once, judged against fp32, and kept."""
