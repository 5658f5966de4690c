"""Images that control a UNet beside the prompt: ControlNet and what is like it. Knows one evaluation; not steps or who asks."""
