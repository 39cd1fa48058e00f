"""The demo catalogue: products from a grammar, to try everything without a network.

It is as untidy as a real catalogue. Some names say little. Accessories name only what they fit.
Families of products differ in a colour. Text has HTML entities or lost separators. Some products
have no image, and some are invalid. Images are references that are drawn when they are needed.
"""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from random import Random
from types import MappingProxyType
from urllib.parse import urlencode

from stages.catalog.settings import DemoSettings
from stages.catalog.sources.product import RawProduct
from stages.common.image_ref import ImageRef

NO_IMAGE_SHARE = 0.03
CARTON_SHARE = 0.18  # images that show only the carton
SLOT = "\0"  # in a name: the place where the products of a family differ

# How much text says, by weight: everything, only a name, what fits a few classes, what fits any.
DETAIL = {"full": 60, "short": 8, "ambiguous": 17, "vague": 15}


@dataclass(frozen=True)
class ProductType:
    """A type of product. Its drawing also names its grammar rules: a noun and a feature."""

    drawing: str
    manufacturer: str  # a rule of the grammar
    ambiguous: tuple[str, ...]  # rules for text that fits another class as well
    colours: tuple[str, ...]  # the usual ones more than once
    variant: str = "colour"  # what differs within a family: the colour, or a rule of the grammar


# Each rule has alternatives. In them, {rule} stands for one alternative of another rule.
GRAMMAR: dict[str, list[str]] = {
    # names
    "electronics_manufacturer": [
        "Novatek",
        "Kestrel",
        "Ohmura",
        "Vantis",
        "Sonder",
        "Lumenix",
        "Daiwon",
    ],
    "accessory_manufacturer": [
        "Platypus",
        "Gripwell",
        "Insigna",
        "Corvo",
        "Tetherline",
        "Modo",
        "Zaggy",
    ],
    "audio_manufacturer": [
        "Sonder",
        "Bassline",
        "Ohmura",
        "Corvo",
        "Skullkraft",
        "Insigna",
        "Jaybird & Co",
    ],
    "appliance_manufacturer": ["Whirlhaus", "Frostline", "Daiwon", "Kestrel", "Maytree", "Bosk"],
    "publisher": ["Redwood Studios", "Nightjar", "Big Comet", "Paragon & Sons", "Lantern House"],
    "series": [
        *["Vela", "Astra", "Orion", "Pulse", "Zenith", "Aero", "Nimbus", "Ridge", "Metro", "Echo"],
        *["Fuse", "Prism", "Vertex", "Halo", "Summit", "Tempo", "Onyx", "Quest", "Vivid", "Atlas"],
    ],
    "letter": list("ABCDEFGHJKLMNPQRSTUVWXZ"),
    "digit": list("123456789"),
    "code": [
        "{letter}{digit}{digit}0",
        "{letter}{letter}-{digit}{digit}{digit}{digit}",
        "{digit}{digit}{letter}{digit}{digit}",
        "{letter}{letter}{digit}{digit}{letter}",
    ],
    "model": ["{series} {code}", "{series} {digit}", "{code}"],
    "phone_model": ["{series} {digit}", "{series} {digit} Plus", "{series} Note {digit}", "{code}"],
    "adjective": [
        *[
            "Midnight",
            "Silent",
            "Broken",
            "Golden",
            "Crimson",
            "Last",
            "Hidden",
            "Frozen",
            "Savage",
        ],
        *["Electric", "Distant", "Burning", "Hollow", "Lucky", "Final", "Iron", "Scarlet", "Lost"],
    ],
    "thing": [
        *[
            "Harbor",
            "Kingdom",
            "Witness",
            "Horizon",
            "Legacy",
            "Café",
            "Empire",
            "Frontier",
            "Rider",
        ],
        *[
            "Garden",
            "Protocol",
            "Throne",
            "Summer",
            "Odyssey",
            "Storm",
            "River",
            "Outlaw",
            "Signal",
        ],
    ],
    "title": [
        "{adjective} {thing}",
        "{adjective} {thing} II",
        "The {thing} of {series}",
        "{thing} & {thing}",
        "{series}: {adjective} {thing}",
        "{adjective} {thing}: The {thing}",
    ],
    # measures
    "storage": ["16GB", "32GB", "64GB", "128GB"],
    "phone_inch": ["4.7", "5", "5.2", "5.5", "6.1"],
    "tablet_inch": ["7", "8", "9.7", "10.1"],
    "laptop_inch": ["11.6", "13.3", "14", "15.6", "17.3"],
    "monitor_inch": ["21.5", "24", "27", "32", "34"],
    "tv_inch": ["24", "32", "40", "43", "50", "55", "65"],
    "resolution": ["1080p", "4K Ultra HD", "720p", "2160p", "Full HD"],
    "feet": ["3'", "4'", "6'", "10'"],
    "volume": ["3.8 Cu. Ft.", "4.2 Cu. Ft.", "4.5 Cu. Ft.", "18.1 Cu. Ft.", "25.5 Cu. Ft."],
    "pack": ["1-Pack", "2-Pack", "3-Pack", "5-Pack"],
    "format": ["Blu-ray", "DVD", "Blu-ray + DVD", "4K Ultra HD Blu-ray"],
    "platform": ["PlayBox 4", "Xcube One", "Wiix U", "Windows", "PlayBox 3"],
    # what is for what
    "phone_device": [
        "{electronics_manufacturer} {phone_model}",
        "{electronics_manufacturer} {phone_model} and {digit}s",
        "{electronics_manufacturer} {phone_model} Cell Phones",
        "Most Cell Phones",
    ],
    "laptop_device": ['{laptop_inch}" Laptops', "{electronics_manufacturer} {series} Laptops"],
    "tv_device": ['Most {tv_inch}" - 65" TVs', "{electronics_manufacturer} TVs", "Flat-Panel TVs"],
    # nouns and features, class by class
    "case_noun": [
        "Case for {phone_device}",
        "Hard Shell Case for {phone_device}",
        "Flip Cover for {phone_device}",
        "Silicone Skin for {phone_device}",
        "Protective Case for {phone_device}",
    ],
    "case_feature": [
        "Raised edges keep the screen off flat surfaces",
        "Shock-absorbing bumper guards the phone against drops",
        "Cutouts leave the camera and the ports free",
        "Slim shell snaps on in seconds",
        "Soft-touch silicone is easy to hold",
    ],
    "charger_noun": [
        "Wall Charger for {phone_device}",
        "USB Vehicle Charger",
        "Power Adapter for {laptop_device}",
        "{digit}000 mAh Portable Charger",
        "Charger for {phone_device}",
    ],
    "charger_feature": [
        "2.4-amp output charges most devices quickly",
        "Folding prongs make it easy to pack",
        "Two USB ports charge a phone and a tablet at once",
        "Built-in protection against overcharging",
    ],
    "cable_noun": [
        "{feet} Lightning-to-USB Cable",
        "{feet} HDMI Cable",
        "{feet} USB Type C Cable",
        "{feet} Micro USB Charge/Sync Cable",
        "{feet} Optical Audio Cable",
    ],
    "cable_feature": [
        "Gold-plated connectors resist corrosion",
        "Braided jacket keeps the cord from tangling",
        "Transfers data and charges at once",
        "Carries picture and sound over one cord",
    ],
    "phone_noun": [
        "{phone_model} Cell Phone with {storage} Memory (Unlocked)",
        "{phone_model} 4G LTE with {storage} Smartphone",
        "{phone_model} No-Contract Cell Phone",
        "{phone_model} {storage} Dual SIM Smartphone",
    ],
    "phone_feature": [
        "{phone_inch}-inch touch screen; 12-megapixel camera; makes calls over 4G LTE",
        "Works with any carrier's SIM card; talk time up to 14 hours",
        "Fingerprint reader; front and rear cameras; visual voicemail",
    ],
    "tablet_noun": [
        '{series} Tab - {tablet_inch}" - {storage} Tablet',
        '{series} Pad {tablet_inch}" with Wi-Fi - {storage}',
        '{tablet_inch}" Tablet - {storage}',
        "{series} Kids Tablet with Case",
    ],
    "tablet_feature": [
        "{tablet_inch}-inch multi-touch screen; Wi-Fi; thousands of apps to read and play",
        "Reads books, plays films; keyboard cover sold separately",
        "Tablet with quad-core processor; battery for 10 hours of reading",
    ],
    "laptop_noun": [
        '{series} 2-in-1 {laptop_inch}" Touch-Screen Laptop - 8GB Memory',
        '{series} {laptop_inch}" Laptop - 4GB Memory - 500GB Hard Drive',
        '{series}book {laptop_inch}" Chromebook - {storage} eMMC',
        '{laptop_inch}" Gaming Laptop - 16GB Memory - 1TB Hard Drive',
    ],
    "laptop_feature": [
        "{laptop_inch}-inch screen; quad-core processor; 8GB memory; backlit keyboard",
        "Hard drive with room for your files; webcam; up to 9 hours of battery",
        "Windows 10; full keyboard with number pad; DVD drive",
    ],
    "bag_noun": [
        'Laptop Sleeve for {laptop_inch}" Laptops',
        "Laptop Backpack",
        "Messenger Bag for {laptop_device}",
        "Briefcase for {laptop_device}",
    ],
    "bag_feature": [
        "Padded compartment holds most laptops",
        "Adjustable shoulder strap; pockets for charger, phone and tablet",
        "Water-resistant nylon; zippered front pocket",
    ],
    "television_noun": [
        '{tv_inch}" Class - LED - {resolution} - HDTV',
        '{tv_inch}" Class LED {resolution} Smart TV',
        '{series} Series - {tv_inch}" TV - {resolution}',
        '{tv_inch}" Class Curved {resolution} TV with High Dynamic Range',
    ],
    "television_feature": [
        "{resolution} picture; streams films and shows; 3 HDMI inputs; remote control",
        "Built-in tuner; 120Hz motion rate; two speakers",
        "Smart TV with apps for streaming; wall-mountable",
    ],
    "monitor_noun": [
        '{monitor_inch}" LED {resolution} Monitor',
        '{monitor_inch}" IPS LED Widescreen PC Monitor',
        '{series} {monitor_inch}" Gaming Monitor',
        '{monitor_inch}" Curved Desktop Monitor',
    ],
    "monitor_feature": [
        "DisplayPort, HDMI and VGA inputs for your computer; 5 ms response time",
        "Tilts and swivels on its stand; 1920 x 1080 resolution at 60Hz",
        "Monitor with anti-glare panel; a second screen for your desktop PC",
    ],
    "remote_noun": [
        "{digit}-Device Universal Remote",
        "Remote Control for {tv_device}",
        "Replacement Remote for {tv_device}",
    ],
    "remote_feature": [
        "Controls the TV, the cable box and the soundbar",
        "Backlit buttons; learns from your old remote",
    ],
    "mount_noun": [
        "Full-Motion TV Wall Mount for {tv_device}",
        "Tilting Wall Mount for {tv_device}",
        "TV Bracket for {tv_device}",
    ],
    "mount_feature": [
        "Tilts and swivels; holds up to 80 lbs.; hardware for concrete and wood studs",
        "Sits 2 inches off the wall; built-in level",
    ],
    "headphones_noun": [
        "Over-the-Ear Wireless Headphones",
        "On-Ear Headphones",
        "Stereo Gaming Headset for {platform}",
        "Headphones for {phone_device}",
        "Noise-Canceling Headphones",
    ],
    "headphones_feature": [
        "40 mm drivers; cushioned ear cups; folds flat",
        "Cancels noise around you; in-line microphone",
        "Game chat and sound in both ears; works with {platform}",
    ],
    "earbuds_noun": ["Wireless Earbuds", "Earbud Headphones", "In-Ear Sport Headphones"],
    "earbuds_feature": [
        "Tips in three sizes; sweat-resistant; tangle-free cord",
        "In-line remote answers calls; 8 hours of music",
    ],
    "speaker_noun": [
        "Portable Bluetooth Speaker",
        '{digit}" 2-Way Bookshelf Speakers (Pair)',
        "2.1-Channel Soundbar for {tv_device}",
        "Wireless Speaker for {phone_device}",
    ],
    "speaker_feature": [
        "Fills the room; two woofers and a tweeter",
        "Pairs with a phone; splash-proof; speakerphone",
        "Subwoofer for the TV's deep notes; 120 watts",
    ],
    "game_noun": [
        "{title} - {platform}",
        "{title} Standard Edition - {platform}",
        "{title} - PRE-OWNED - {platform}",
        "{title} [Digital Download] - {platform}",
    ],
    "game_feature": [
        "Play online with up to {digit} friends; rated T for teen",
        "Battle through 40 levels; unlock weapons and characters",
        "Race, fight and build your team in this video game",
    ],
    "movie_noun": [
        "{title} [{format}] [201{digit}]",
        "{title} [{format}]",
        "{title}: Season {digit} [{digit} Discs] [{format}]",
    ],
    "movie_feature": [
        "Directed by an award-winning crew; widescreen; English subtitles",
        "Includes deleted scenes and a director's commentary; rated PG-13",
        "The film that critics loved, starring an ensemble cast",
    ],
    "camera_noun": [
        "{series} DSLR Camera with 18-55mm Lens",
        "{code} {digit}0.1-Megapixel Digital Camera",
        "{series} Mirrorless Camera (Body Only)",
        "{code} Waterproof Action Camera",
    ],
    "camera_feature": [
        "{digit}x optical zoom; 20.2-megapixel sensor; shoots 1080p video",
        "Image stabilization for sharp photos; built-in flash",
    ],
    "fridge_noun": [
        "{volume} French Door Refrigerator",
        "{volume} Top-Freezer Refrigerator",
        "{volume} Side-by-Side Refrigerator with Ice Maker",
    ],
    "fridge_feature": [
        "Two crisper drawers keep produce fresh; ice maker",
        "Spill-proof glass shelves; gallon door bins; frost-free freezer",
    ],
    "washer_noun": [
        "{volume} 12-Cycle Front-Loading Washer",
        "{volume} High-Efficiency Top-Loading Washer",
        "{volume} Washing Machine with Steam",
    ],
    "washer_feature": [
        "Spins at 1,300 rpm; removes stains in cold water",
        "Delay start; stainless-steel drum; detergent dispenser",
    ],
    "telescope_noun": ["{digit}0mm Refractor Telescope", "{series} Reflector Telescope"],
    "telescope_feature": ["Shows the moon's craters; tripod and two eyepieces"],
    # text that fits several classes: descriptions for those, and for any class
    "for_phone": ["For {phone_device}", "{series} for {phone_device}", "{phone_device} Accessory"],
    "for_laptop": ["For {laptop_device}", "{series} for {laptop_device}"],
    "for_tv": ["For {tv_device}", "{series} for {tv_device}"],
    "for_game": ["For {platform}", "{series} for {platform}", "{title} Edition for {platform}"],
    "handheld": [
        "{series} {storage}",
        "{series} {digit} Wi-Fi + 4G - {storage}",
        "{model} Android",
    ],
    "computer": [
        "{series} 8GB Memory 256GB SSD",
        "{model} with Windows 10",
        "{model} Touch-Screen",
    ],
    "display": [
        '{monitor_inch}" {resolution} LED',
        '{series} 32" Curved',
        "{code} LED {resolution}",
    ],
    "sound": ["{series} Bluetooth", "{series} Wireless Audio", "{series} Bass {code}"],
    "disc": ["{title}", "{title} - Special Edition", "{title} Collection"],
    "steel": ["{volume} {code}", "{series} {volume}", "{volume} ENERGY STAR Certified"],
    "photo": ["{series} {code} 1080p", "{code} with 20.2 Megapixels"],
    "about_ambiguous": [
        "Designed to fit; {finish}",
        "Works right out of the box; {finish}",
        "Compatible with most models; {finish}",
        "",
    ],
    "about_any": [
        "Sleek design for everyday use",
        "A great gift for anyone on your list",
        "Quality you can count on, backed by a {digit}-year warranty",
        "See the box for details",
        "New model for 2016; limited quantities",
        "",
    ],
    "finish": ["slim profile", "durable build", "compact size", "modern look", "1-year warranty"],
}

BRIGHT = ("Black", "Black", "Blue", "Red", "Pink", "Purple", "Teal", "Orange", "Gold", "Green")

PRODUCT_TYPES: dict[str, list[ProductType]] = {
    "Phone Cases": [ProductType("case", "accessory_manufacturer", ("for_phone",), BRIGHT)],
    "Chargers & Cables": [
        ProductType(
            "charger",
            "accessory_manufacturer",
            ("for_phone", "for_laptop"),
            ("White", "Black", "Gray"),
        ),
        ProductType(
            "cable",
            "accessory_manufacturer",
            ("for_phone", "for_tv", "for_game"),
            ("Black", "White", "White", "Gray", "Blue"),
            "pack",
        ),
    ],
    "Headphones": [
        ProductType(
            "headphones",
            "audio_manufacturer",
            ("sound", "for_game"),
            ("Black", "White", "Red", "Blue"),
        ),
        ProductType(
            "earbuds",
            "audio_manufacturer",
            ("sound", "for_phone"),
            ("Black", "White", "Red", "Pink"),
        ),
    ],
    "Laptops": [
        ProductType(
            "laptop", "electronics_manufacturer", ("computer",), ("Silver", "Gray", "Black")
        )
    ],
    "Phones": [
        ProductType(
            "phone", "electronics_manufacturer", ("handheld",), ("Black", "Silver", "Gold", "White")
        )
    ],
    "Video Games": [
        ProductType(
            "game", "publisher", ("disc", "for_game"), ("Blue", "Green", "Silver"), "platform"
        )
    ],
    "TVs": [
        ProductType(
            "television",
            "electronics_manufacturer",
            ("display",),
            ("Black", "Black", "Gray"),
            "tv_inch",
        )
    ],
    "Tablets": [
        ProductType(
            "tablet",
            "electronics_manufacturer",
            ("handheld", "computer"),
            ("White", "Black", "Silver"),
        )
    ],
    "Movies": [ProductType("movie", "publisher", ("disc",), ("Navy", "Black", "Blue"), "format")],
    "Monitors": [
        ProductType(
            "monitor",
            "electronics_manufacturer",
            ("display", "computer"),
            ("Black", "Silver", "White"),
            "monitor_inch",
        )
    ],
    "Speakers": [
        ProductType(
            "speaker", "audio_manufacturer", ("sound", "for_tv"), ("Brown", "Black", "Gray")
        )
    ],
    "TV Accessories": [
        ProductType("remote", "accessory_manufacturer", ("for_tv",), ("Black", "Gray")),
        ProductType("mount", "accessory_manufacturer", ("for_tv",), ("Black", "Silver")),
    ],
    "Laptop Bags": [
        ProductType("bag", "accessory_manufacturer", ("for_laptop",), ("Gray", "Brown", "Navy"))
    ],
    "Cameras": [
        ProductType("camera", "electronics_manufacturer", ("photo",), ("Black", "Silver", "Red"))
    ],
    "Refrigerators": [
        ProductType(
            "fridge", "appliance_manufacturer", ("steel",), ("Stainless Steel", "White", "Black")
        )
    ],
    "Washing Machines": [
        ProductType(
            "washer", "appliance_manufacturer", ("steel",), ("White", "White", "Silver", "Gray")
        )
    ],
    "Telescopes": [
        ProductType("telescope", "electronics_manufacturer", ("photo",), ("Black", "Blue"))
    ],
}

# Each class has SMALLEST products, and its share of the rest of the catalogue.
SHARES = {
    "Phone Cases": 104,
    "Chargers & Cables": 82,
    "Headphones": 68,
    "Laptops": 52,
    "Phones": 46,
    "Video Games": 40,
    "TVs": 36,
    "Tablets": 30,
    "Movies": 26,
    "Monitors": 24,
    "Speakers": 22,
    "TV Accessories": 18,
    "Laptop Bags": 14,
    "Cameras": 12,
    "Refrigerators": 10,
    "Washing Machines": 10,
}
SMALLEST = 11
TOO_SMALL = {"Telescopes": 7}  # a class that is rejected
INVALID = ("no sku", "used sku", "no text", "no label")  # why a product is rejected
INVALID_SHARE = 0.005  # of the catalogue, each


def read(settings: DemoSettings, seed: int) -> Iterator[RawProduct]:
    """Yield `settings.products` products of the demo, the same ones for the same seed.

    They come family by family, and their classes in random order.
    """
    rng = Random(seed)
    left = _sizes(settings.products)
    sku, valid_sku = rng.randrange(1_000_000, 2_000_000), 0
    while any(left.values()):
        part = rng.choices(list(left), list(left.values()))[0]
        if part == "used sku" and not valid_sku:
            continue  # there is none yet to use again
        label = rng.choice(list(SHARES)) if part in INVALID else part
        most = 1 if part in INVALID else min(left[part], rng.choice([1, 1, 1, 2, 2, 3, 4]))
        for product in _family(rng, label, most):
            left[part] -= 1
            sku += rng.randint(1, 90)
            if part in SHARES:
                valid_sku = sku
            yield _invalidate(replace(product, sku=str(sku)), part, str(valid_sku))


def _sizes(products: int) -> dict[str, int]:
    """Return the number of products of each class, and of each way to be invalid."""
    parts = TOO_SMALL | dict.fromkeys(INVALID, max(1, round(products * INVALID_SHARE)))
    rest = products - sum(parts.values()) - SMALLEST * len(SHARES)
    ends = [rest * end // sum(SHARES.values()) for end in accumulate(SHARES.values(), initial=0)]
    sizes = (SMALLEST + stop - start for start, stop in pairwise(ends))
    return dict(zip(SHARES, sizes, strict=True)) | parts


def _invalidate(product: RawProduct, part: str, used_sku: str) -> RawProduct:
    """Return the product, made invalid in one way if `part` is one of INVALID."""
    match part:
        case "no sku":
            return replace(product, sku=None)
        case "used sku":
            return replace(product, sku=used_sku)
        case "no text":
            return replace(product, name=None, description=" ", image=None)
        case "no label":
            return replace(product, label=None)
    return product


def _family(rng: Random, label: str, most: int) -> Iterator[RawProduct]:
    """Yield up to `most` products that differ in one thing, without their skus."""
    product_type = rng.choice(PRODUCT_TYPES[label])
    manufacturer = _expand(rng, f"{{{product_type.manufacturer}}}")
    slot = {} if product_type.variant == "colour" else {product_type.variant: SLOT}
    stem, sentences = _texts(rng, product_type, slot)
    if rng.random() < 0.85:
        stem = f"{manufacturer} - {stem}"
    if product_type.variant in ("colour", "pack"):
        stem = f"{stem} - {SLOT}"
    drawing = "carton" if rng.random() < CARTON_SHARE else product_type.drawing
    look, steady = rng.randrange(2**32), rng.random() < 0.4
    colour = rng.choice(product_type.colours)
    names: set[str] = set()
    for shot in range(most):
        if product_type.variant == "colour":
            colour = variant = rng.choice(product_type.colours)
        else:
            variant = _expand(rng, f"{{{product_type.variant}}}")
        name = stem.replace(SLOT, variant)
        if name in names:
            continue
        names.add(name)
        query = urlencode({"look": look, "colour": colour, "shot": 0 if steady else shot})
        name, description = _untidy(rng, name, sentences)
        yield RawProduct(
            sku=None,
            name=name,
            description=description,
            manufacturer=manufacturer if rng.random() < 0.95 else None,
            label=label,
            image=(
                None
                if rng.random() < NO_IMAGE_SHARE
                else str(ImageRef("demo", f"{drawing}?{query}"))
            ),
        )


def _texts(rng: Random, product_type: ProductType, slot: dict[str, str]) -> tuple[str, list[str]]:
    """Return a family's name and the sentences of its description."""
    detail = rng.choices(list(DETAIL), list(DETAIL.values()))[0]
    if detail == "ambiguous":
        return _expand(rng, f"{{{rng.choice(product_type.ambiguous)}}}", slot), [
            _expand(rng, "{about_ambiguous}")
        ]
    if detail == "vague":
        return _expand(rng, "{model}"), [_expand(rng, "{about_any}")]
    name = _expand(rng, f"{{{product_type.drawing}_noun}}", slot)
    if detail == "short":
        return name, []
    features = GRAMMAR[f"{product_type.drawing}_feature"]
    chosen = rng.sample(features, rng.randint(1, len(features)))
    return name, [_expand(rng, text) for text in (*chosen, "{about_any}")]


def _expand(rng: Random, text: str, fixed: Mapping[str, str] = MappingProxyType({})) -> str:
    """Replace each {rule} by its value in `fixed`, or by one of the rule's alternatives."""

    def one(match: re.Match[str]) -> str:
        rule = match[1]
        return fixed[rule] if rule in fixed else _expand(rng, rng.choice(GRAMMAR[rule]), fixed)

    return re.sub(r"{(\w+)}", one, text)


def _untidy(rng: Random, name: str, sentences: list[str]) -> tuple[str, str | None]:
    """Return name and description with entities, line breaks or lost separators."""
    between = rng.choices(["; ", ". ", "\n", "\r\n\r\n", ""], [40, 30, 10, 8, 12])[0]
    description = between.join(filter(None, sentences))
    if rng.random() < 0.25:
        name, description = _escape(name), _escape(description)
    return name, description or rng.choice([None, ""])


def _escape(text: str) -> str:
    """Write marks and accents as HTML entities."""
    return html.escape(text).encode("ascii", "xmlcharrefreplace").decode()
