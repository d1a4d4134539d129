"""What Overnight costs, measured: `make bench`."""
