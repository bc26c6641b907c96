from django.urls import path

from shop.views import edit

urlpatterns = [path("edit", edit)]
