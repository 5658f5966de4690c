"""What the image pipelines share."""
