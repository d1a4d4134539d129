"""`python -m benchmarks`: all of them."""

from benchmarks import night

night.main()
