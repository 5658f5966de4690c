"""Networks that make images larger: Real-ESRGAN's, and others through spandrel."""
