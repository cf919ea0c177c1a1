"""Requests and answers on raw sockets.

Nouns: head, body, connection, route, server; answers that take turns. It must not know what
a plan is made from, nor where rows lie.
"""
