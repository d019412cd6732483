"""Generation: a taxonomy, a teacher and a pipeline become training data. ``launch`` is the face that commands use.

``run`` is the whole of it; ``plan`` decides what is asked and what counts; taxonomy, pipelines and the client to the
teacher's endpoint know nothing of each other.
"""
