"""What answers a request: plans, generated code, snapshots and HTTP on raw sockets.

Floor 1. Nouns: *plan* (a service compiled against its datasets' schemas), *program* (the
generated functions of a plan, bound to open snapshots), *snapshot* (one open version),
*route* (a program with its response head, limit and histogram), *connection*, *server*.
Must not know processes, buses or supervisors: give it sockets and routes and it serves.
"""
