"""The form for a note."""

from django import forms
from django.utils.translation import gettext_lazy as _

from .models import Note


class NoteForm(forms.ModelForm):
    """What the owner of a note can change."""

    class Meta:
        model = Note
        fields = ["title", "body", "tint", "is_public"]
        labels = {"is_public": _("Public: anyone can read this note")}
        widgets = {
            "title": forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
            "body": forms.Textarea(attrs={"rows": 12}),
            "tint": forms.RadioSelect,
        }


class CuratorNoteForm(NoteForm):
    """What a curator can change in another user's public note: everything except who can read it."""

    class Meta(NoteForm.Meta):
        fields = ["title", "body", "tint"]
