"""The forms of an answer: JSON, MessagePack, CSV, Arrow.

Nouns: answer, rendering, document. It must not know where rows come from, nor HTTP beyond the
names of media types.
"""
