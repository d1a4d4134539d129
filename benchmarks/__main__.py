"""`python -m benchmarks`: all of them."""

from benchmarks import engine, gateway, night
from benchmarks.table import head

head("The engine alone")
engine.main(None, False)
head("The gateway")
gateway.main()
night.main()
