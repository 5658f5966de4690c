"""The Chat tab: conversations with the assistant, its steps, images and sources."""
