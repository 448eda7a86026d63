import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Note',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('title', models.CharField(max_length=120, verbose_name='title')),
                ('body', models.TextField(blank=True, max_length=20000, verbose_name='text')),
                ('tint', models.CharField(choices=[('paper', 'Paper'), ('lemon', 'Lemon'), ('mint', 'Mint'), ('sky', 'Sky'), ('rose', 'Rose')], default='paper', max_length=8, verbose_name='colour')),
                ('is_public', models.BooleanField(db_index=True, default=False, verbose_name='public')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='written')),
                ('updated_at', models.DateTimeField(auto_now=True, verbose_name='changed')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notes', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
            ],
            options={
                'verbose_name': 'note',
                'verbose_name_plural': 'notes',
                'ordering': ['-updated_at', '-pk'],
                'permissions': [('curate_note', 'Can edit all public notes')],
            },
        ),
    ]
