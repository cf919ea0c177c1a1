"""Connections on their way between processes.

It must not know what is asked on them.
"""
