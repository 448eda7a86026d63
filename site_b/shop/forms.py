"""What a visitor may send to the shop's pages."""

from django import forms

from .cart import MOST
from .models import Product


class QuantityForm(forms.Form):
    """So many of one product; 0 takes it out."""

    product = forms.ModelChoiceField(Product.objects, to_field_name="slug")
    quantity = forms.IntegerField(min_value=0, max_value=MOST)


class CheckoutForm(forms.Form):
    """The reference that was made with the form; see ``Order.reference``."""

    reference = forms.UUIDField(widget=forms.HiddenInput)
