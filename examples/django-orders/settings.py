"""A Django project as small as it gets. Nothing here knows of rowcast but the path of the database, which is
the file that `rowcast serve` has open."""

import os
import secrets

SECRET_KEY = os.environ.get("SHOP_KEY") or secrets.token_hex()
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["shop"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF = "urls"
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
}]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ["SHOP_DB"],
    "OPTIONS": {"timeout": 20},     # seconds to wait for other writers
}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
