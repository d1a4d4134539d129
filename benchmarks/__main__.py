"""`python -m benchmarks`: all of them."""

from benchmarks import audit, boxes, engine, gateway, hook, live, memory, night, usage, web
from benchmarks.table import head

head("The engine alone")
engine.main(None, False)
head("The audit")
audit.main()
head("The gateway")
gateway.main()
head("The hook")
hook.main()
head("Boxes")
boxes.main()
head("Usage: the index of logs")
usage.main()
head("Pages and API")
web.main()
live.main()
night.main()
memory.main(200, 20)
