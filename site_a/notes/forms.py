"""The one form of Notes: what a person may write into a note."""

from django import forms
from django.utils.translation import gettext_lazy as _

from .models import Note


class NoteForm(forms.ModelForm):
    """Title, text, colour, and who may read it; never the owner."""

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
    """What a curator may change in somebody else's public note: everything but who may read it."""

    class Meta(NoteForm.Meta):
        fields = ["title", "body", "tint"]
