"""For those who teach: assignments out of the chapters' exercises, and a room in which hand-ins are run and judged.

A wing that readers never meet: ``python -m resnet_lib course``. Student code runs in a room without answers (room.py,
inside sandbox.py); what it gives is judged outside (grading.py), over frames of JSON and raw numbers (wire.py).
"""
