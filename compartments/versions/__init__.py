"""What is to be served: plans on versions, staged, flipped to, taken back.

It must not know who asked for a change.
"""
