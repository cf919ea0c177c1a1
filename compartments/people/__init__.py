"""What people changed on a node, and the record of who did what.

It must not know who serves.
"""
