"""The shared vocabulary: settings, errors, manifests, keys, rows and messages.

Floor 0. Everything above may import this package and this package imports nothing
of the project. It knows no process, no socket and no database engine, so that a
client library or a Spark job can use it without dragging a server along.
"""
