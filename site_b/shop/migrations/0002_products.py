"""Adds the eight products."""

from django.db import migrations

PRODUCTS = [
    # slug, name, tagline, price in cents, tint, description
    ("mug", "Speckled mug", "Holds the morning together", 1900, "sand",
     "Thrown by hand from speckled stoneware, with a handle that fits three fingers and a rim that is thin where it matters. Goes into the dishwasher, comes out unimpressed."),
    ("lamp", "Reading lamp", "Light on the page, not in your eyes", 7900, "sky",
     "A spun-steel shade on two jointed arms. It stays where you leave it and gives a warm pool of light that ends where the page does."),
    ("notebook", "Linen notebook", "For thoughts without a battery", 1650, "rose",
     "One hundred and sixty dotted pages that take fountain-pen ink without complaint, sewn so that it lies flat, and bound in linen that gets better with use."),
    ("plant", "Rubber fig", "Quiet company, needs little", 2400, "mint",
     "A young fig in a terracotta pot. It likes bright places, a drink once a week, and being told about your day."),
    ("kettle", "Gooseneck kettle", "Pours exactly where you point it", 6500, "sand",
     "A narrow spout for a slow and even pour, a handle balanced for a full litre, and a lid that does not jump off."),
    ("clock", "Wall clock", "Tells the time, says nothing else", 4200, "sky",
     "A silent sweep movement behind real glass, numerals you can read from the next room, and no notifications whatsoever."),
    ("pencils", "Cup of pencils", "Twelve sharp arguments", 1250, "mint",
     "Twelve cedar pencils in soft colours, HB, already sharpened, in a cork-footed cup that does not slide."),
    ("candle", "Evening candle", "Forty hours of being done for today", 2200, "rose",
     "Rapeseed wax with cedar and a little fig leaf, poured into a glass that will hold your pencils afterwards."),
]


def stock(apps, schema_editor):
    Product = apps.get_model("shop", "Product")
    using = schema_editor.connection.alias
    for position, (slug, name, tagline, price_cents, tint, description) in enumerate(PRODUCTS, start=1):
        Product.objects.using(using).update_or_create(
            slug=slug,
            defaults={
                "name": name, "tagline": tagline, "description": description,
                "price_cents": price_cents, "tint": tint, "position": position,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(stock, migrations.RunPython.noop)]
