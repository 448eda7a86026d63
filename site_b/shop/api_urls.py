"""URLs of the JSON API."""

from django.urls import path

from . import api

app_name = "api"

urlpatterns = [
    path("products/", api.products, name="products"),
    path("products/<slug:slug>/", api.product, name="product"),
    path("cart/", api.cart, name="cart"),
    path("cart/<slug:slug>/", api.cart_line, name="cart-line"),
    path("orders/", api.orders, name="orders"),
    path("me/", api.me, name="me"),
]
