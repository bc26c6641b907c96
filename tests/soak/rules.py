"""rules.py - what the soak's writer and readers know of each other."""

CHANNELS = 20       # c0 to c19
USERS = 10          # u0 to u9
