"""Forms of the shop's pages."""

from django import forms

from .cart import MAX_QUANTITY
from .models import Product


class QuantityForm(forms.Form):
    """A quantity of a product. 0 removes it."""

    product = forms.ModelChoiceField(Product.objects, to_field_name="slug")
    quantity = forms.IntegerField(min_value=0, max_value=MAX_QUANTITY)


class CheckoutForm(forms.Form):
    """The reference that the checkout page generated. See ``Order.reference``."""

    reference = forms.UUIDField(widget=forms.HiddenInput)
