"""What is known of users beside their keys: what they took of the device, and what they did."""
