"""What the text and chat pipelines share."""
