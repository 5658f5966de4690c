"""What mmgen itself brings, registered through the same door as everybody's plugins."""
