"""What we know about churn, pure: no disk, no network, no clock."""
