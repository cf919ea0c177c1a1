"""The servers Havok is measured against, and Havok: one module each.

A module says how its server is set up as its own documentation would have it. Nothing here
measures or compares.
"""
