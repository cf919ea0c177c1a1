"""Analytical queries: executors, and what a worker and they say to each other.

It must not know which service asks.
"""
