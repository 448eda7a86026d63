from django.db import migrations, models


class Migration(migrations.Migration):
    """The portal's own cookie replaces what remembered which session a sign-in had replaced."""

    dependencies = [("portal_sessions", "0001_initial")]

    operations = [
        migrations.RemoveField(model_name="session", name="replaces"),
        migrations.AddField(
            model_name="session",
            name="portal_bind",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=43),
        ),
    ]
