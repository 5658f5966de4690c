"""What each kind of model is judged and timed by when its precision is chosen; see mmgen/models/tuning."""
