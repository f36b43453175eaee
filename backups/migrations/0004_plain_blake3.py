"""The digest of the plain bytes is BLAKE3: that of earlier sets is no longer compared."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backups", "0003_what_was_published")]

    operations = [
        migrations.RemoveField(model_name="part", name="plain_sha256"),
        migrations.AddField(
            model_name="part",
            name="plain_blake3",
            field=models.CharField(blank=True, max_length=64, verbose_name="BLAKE3 of the plain bytes"),
        ),
    ]
