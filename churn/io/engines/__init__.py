"""What runs the SQL."""
