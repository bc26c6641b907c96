from django.db import models


class Order(models.Model):
    article = models.CharField(max_length=60)
    state = models.CharField(max_length=20, default="new")
    total = models.DecimalField(max_digits=7, decimal_places=2)

    class Meta:
        db_table = "orders"     # without this: shop_order
