"""`python -m benchmarks`: all of them."""

from benchmarks import audit, boxes, engine, gateway, night
from benchmarks.table import head

head("The engine alone")
engine.main(None, False)
head("The audit")
audit.main()
head("The gateway")
gateway.main()
head("Boxes")
boxes.main()
night.main()
