"""The pages: drawn on the server from the views of `report/`, kept live by server-sent events."""
