"""Side-by-side measurements, one command and one table each."""
