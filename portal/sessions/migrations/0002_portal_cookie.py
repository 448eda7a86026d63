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
        migrations.AlterField(
            model_name="session",
            name="ended_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("signed_out", "signed out"),
                    ("revoked", "ended on the account page or by an administrator"),
                    ("password", "the password was changed"),
                    ("replaced", "another sign-in in the same browser"),
                    ("account", "the account was deactivated, deleted, or signed out everywhere"),
                    ("expired", "not used for too long"),
                    ("too_many", "too many newer sign-ins"),
                ],
                max_length=16,
                verbose_name="why",
            ),
        ),
    ]
