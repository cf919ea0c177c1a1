"""What the supervisor tells, numbered, and how others come to hold it.

It must not know who is told.
"""
