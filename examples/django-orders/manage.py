#!/usr/bin/env python3
"""Django's own command line: migrate, runserver, makemigrations, shell."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
execute_from_command_line(sys.argv)
