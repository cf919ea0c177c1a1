"""What the machine has, who may run where on it, and what the kernel keeps apart.

It must not know what is served.
"""
