"""The processes of a node: started, adopted, watched, replaced, ended.

It must not know what a process serves.
"""
