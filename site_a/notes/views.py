"""The pages of Notes.

The querysets in ``models`` decide which notes a user can see or change. For all others a user gets the
same response as for notes that do not exist.
"""

from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.views.generic import CreateView, DeleteView, DetailView, ListView, TemplateView, UpdateView

from .forms import CuratorNoteForm, NoteForm
from .models import Note

PAGE_SIZE = 12


class PublicNotes(ListView):
    """The public notes, for all visitors."""

    template_name = "notes/public.html"
    context_object_name = "notes"
    paginate_by = PAGE_SIZE
    queryset = Note.objects.public().select_related("owner")


class MyNotes(LoginRequiredMixin, ListView):
    """The user's own notes."""

    template_name = "notes/mine.html"
    context_object_name = "notes"
    paginate_by = PAGE_SIZE

    def get_queryset(self) -> QuerySet[Note]:
        return Note.objects.filter(owner=self.request.user)


class NoteDetail(DetailView):
    """A note.

    For any number that is not a public note, anonymous visitors are sent to sign in. They cannot find
    out which numbers exist.
    """

    template_name = "notes/detail.html"

    def get_queryset(self) -> QuerySet[Note]:
        return Note.objects.visible_to(self.request.user).select_related("owner")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_anonymous and not Note.objects.public().filter(pk=kwargs["pk"]).exists():
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        editable = Note.objects.editable_by(self.request.user).filter(pk=self.object.pk).exists()
        return super().get_context_data(editable=editable, **kwargs)


class NoteCreate(LoginRequiredMixin, CreateView):
    """Create a note. The owner is always the signed-in user, whatever the form contains."""

    template_name = "notes/form.html"
    form_class = NoteForm
    model = Note

    def form_valid(self, form: NoteForm) -> HttpResponse:
        form.instance.owner = self.request.user
        messages.success(self.request, _("Your note was saved."))
        return super().form_valid(form)


class NoteUpdate(LoginRequiredMixin, UpdateView):
    """Change one of the user's own notes, or as a curator a public one."""

    template_name = "notes/form.html"

    def get_queryset(self) -> QuerySet[Note]:
        return Note.objects.editable_by(self.request.user).select_related("owner")

    def get_form_class(self) -> type[NoteForm]:
        return NoteForm if self.object.owner == self.request.user else CuratorNoteForm

    def form_valid(self, form: NoteForm) -> HttpResponse:
        messages.success(self.request, _("Your changes were saved."))
        return super().form_valid(form)


class NoteDelete(LoginRequiredMixin, DeleteView):
    """Delete one of the user's own notes, after confirmation."""

    template_name = "notes/delete.html"
    success_url = reverse_lazy("notes:mine")

    def get_queryset(self) -> QuerySet[Note]:
        return Note.objects.filter(owner=self.request.user)

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, _("“%(title)s” was deleted.") % {"title": self.object.title})
        return super().form_valid(form)


class You(LoginRequiredMixin, TemplateView):
    """What this site knows about the user: the portal's identity beside the local user."""

    template_name = "notes/you.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        groups = self.request.user.groups.values_list("name", flat=True)
        return super().get_context_data(groups=list(groups), **kwargs)
