"""The words that shoppers and shops use for what the two training sets show.

The tables are hand-written. The first name of an entry is the plainest one; every name of an entry is a true
description of every photo that carries the entry's label, or nearly so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COLOUR_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "black": ("black", "jet black"),
    "white": ("white", "off-white", "ivory"),
    "grey": ("grey", "gray", "charcoal", "silver"),
    "beige": ("beige", "cream", "sand", "tan"),
    "brown": ("brown", "chocolate brown", "dark brown"),
    "red": ("red", "crimson", "scarlet", "burgundy"),
    "orange": ("orange", "coral"),
    "yellow": ("yellow", "mustard yellow"),
    "green": ("green", "olive green", "khaki green", "mint green"),
    "blue": ("blue", "light blue", "sky blue", "turquoise"),
    "navy": ("navy", "navy blue", "dark blue"),
    "purple": ("purple", "violet", "lilac"),
    "pink": ("pink", "rose pink", "fuchsia"),
}

GARMENT_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "Blazer": ("blazer", "suit jacket", "tailored jacket", "formal jacket"),
    "Blouse": ("blouse", "women's blouse", "ladies' blouse"),
    "Body": ("bodysuit", "body", "baby body", "baby bodysuit", "onesie", "babygrow", "romper"),
    "Dress": ("dress", "frock", "summer dress", "gown", "sundress"),
    "Hat": ("hat", "cap", "beanie", "headwear", "baseball cap", "woolly hat"),
    "Hoodie": ("hoodie", "hooded sweatshirt", "hoody", "hooded top", "zip hoodie"),
    "Longsleeve": (
        "long-sleeved top",
        "longsleeve",
        "long sleeve",
        "long-sleeve",
        "jumper",
        "sweater",
        "pullover",
        "sweatshirt",
        "long-sleeved t-shirt",
        "knitted jumper",
        "jersey",
        "long sleeve shirt",
        "cardigan",
    ),
    "Outwear": ("jacket", "coat", "outerwear", "outwear", "parka", "winter coat", "windbreaker", "anorak"),
    "Pants": ("trousers", "pants", "pair of trousers", "jeans", "slacks", "joggers", "leggings", "chinos"),
    "Polo": ("polo shirt", "polo", "polo-neck shirt", "collared t-shirt"),
    "Shirt": ("shirt", "button-up shirt", "button-down shirt", "dress shirt", "collared shirt"),
    "Shoes": (
        "shoes",
        "trainers",
        "sneakers",
        "footwear",
        "pair of shoes",
        "boots",
        "shoe",
        "running shoes",
        "sandals",
    ),
    "Shorts": ("shorts", "pair of shorts", "short trousers", "short pants", "bermuda shorts"),
    "Skirt": ("skirt", "mini skirt", "midi skirt", "pleated skirt"),
    "T-Shirt": ("t-shirt", "tee", "tshirt", "tee shirt", "crew-neck t-shirt", "short-sleeved t-shirt", "t shirt"),
    "Top": ("top", "women's top", "crop top", "camisole", "sleeveless top"),
    "Undershirt": ("undershirt", "tank top", "vest", "vest top", "sleeveless undershirt", "singlet"),
}

GARMENT_CATEGORY: Final = ("clothing", "clothes", "garment", "apparel", "fashion", "something to wear")

CATEGORY_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "Fruit": ("fruit", "fresh fruit", "fruits", "piece of fruit", "ripe fruit"),
    "Vegetables": ("vegetables", "veg", "vegetable", "fresh vegetables", "veggies", "greens"),
    "Packages": ("carton", "packaged food", "packages", "package", "packaged groceries", "chilled carton", "packet"),
}

DAIRY_GROUPS: Final = frozenset({"Milk", "Sour Cream", "Sour Milk", "Yoghurt"})
PLANT_BASED_GROUPS: Final = frozenset({"Oat Milk", "Oatghurt", "Soy Milk", "Soyghurt"})

GROUP_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "Apple": ("apple", "apples", "eating apples"),
    "Asparagus": ("asparagus", "asparagus spears"),
    "Aubergine": ("aubergine", "eggplant", "aubergines", "eggplants"),
    "Avocado": ("avocado", "avocados"),
    "Banana": ("banana", "bananas", "bunch of bananas"),
    "Cabbage": ("cabbage", "white cabbage", "cabbages", "head of cabbage"),
    "Carrots": ("carrots", "carrot", "bunch of carrots"),
    "Cucumber": ("cucumber", "cucumbers"),
    "Garlic": ("garlic", "garlic bulbs", "cloves of garlic"),
    "Ginger": ("ginger", "ginger root", "root ginger"),
    "Juice": ("juice", "fruit juice", "carton of juice", "juices", "juice drink"),
    "Kiwi": ("kiwi", "kiwi fruit", "kiwis", "kiwifruit"),
    "Leek": ("leek", "leeks"),
    "Lemon": ("lemon", "lemons"),
    "Lime": ("lime", "limes"),
    "Mango": ("mango", "mangoes", "mangos"),
    "Melon": ("melon", "melons"),
    "Milk": ("milk", "cow's milk", "dairy milk", "carton of milk", "fresh milk"),
    "Mushroom": ("mushroom", "mushrooms"),
    "Nectarine": ("nectarine", "nectarines"),
    "Oat Milk": ("oat milk", "oat drink"),
    "Oatghurt": ("oatghurt", "oat yoghurt", "oat yogurt"),
    "Onion": ("onion", "onions"),
    "Orange": ("orange", "oranges"),
    "Papaya": ("papaya", "papayas"),
    "Passion Fruit": ("passion fruit", "passion fruits", "passionfruit"),
    "Peach": ("peach", "peaches"),
    "Pear": ("pear", "pears"),
    "Pepper": ("pepper", "bell pepper", "peppers", "bell peppers", "sweet pepper", "capsicum"),
    "Pineapple": ("pineapple", "pineapples"),
    "Plum": ("plum", "plums"),
    "Pomegranate": ("pomegranate", "pomegranates"),
    "Potato": ("potato", "potatoes"),
    "Red Beet": ("red beet", "beetroot", "beet", "red beets", "beets"),
    "Red Grapefruit": ("red grapefruit", "grapefruit", "pink grapefruit", "grapefruits"),
    "Satsumas": ("satsumas", "satsuma", "mandarins", "clementines", "tangerines"),
    "Sour Cream": ("sour cream", "soured cream"),
    "Sour Milk": ("sour milk", "soured milk", "fermented milk"),
    "Soy Milk": ("soy milk", "soya milk", "soya drink", "soy drink"),
    "Soyghurt": ("soyghurt", "soy yoghurt", "soya yoghurt", "soy yogurt"),
    "Tomato": ("tomato", "tomatoes"),
    "Yoghurt": ("yoghurt", "yogurt", "carton of yoghurt"),
    "Zucchini": ("zucchini", "courgette", "courgettes", "zucchinis"),
}

PRODUCT_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "Golden Delicious": ("golden delicious apples", "golden delicious apple", "yellow apples"),
    "Granny Smith": ("granny smith apples", "granny smith apple", "green apples", "green apple"),
    "Pink Lady": ("pink lady apples", "pink lady apple", "pink apples"),
    "Red Delicious": ("red delicious apples", "red delicious apple", "dark red apples"),
    "Royal Gala": ("royal gala apples", "royal gala apple", "gala apples"),
    "Cantaloupe": ("cantaloupe melon", "cantaloupe melons", "orange melon"),
    "Galia Melon": ("galia melons", "galia"),
    "Honeydew Melon": ("honeydew melons", "honeydew", "yellow melon"),
    "Watermelon": ("watermelons", "water melon", "watermelon slice"),
    "Anjou": ("anjou pears", "anjou pear", "green pears"),
    "Conference": ("conference pears", "conference pear"),
    "Kaiser": ("kaiser pears", "kaiser pear", "brown pears"),
    "Bravo Apple Juice": ("apple juice, bravo", "bravo apple", "carton of bravo apple juice"),
    "Bravo Orange Juice": ("orange juice, bravo", "bravo orange", "carton of bravo orange juice"),
    "God Morgon Apple Juice": ("apple juice, god morgon", "god morgon apple", "god morgon apple drink"),
    "God Morgon Orange Juice": ("orange juice, god morgon", "god morgon orange", "god morgon orange drink"),
    "God Morgon Orange Red Grapefruit Juice": (
        "orange and red grapefruit juice, god morgon",
        "god morgon orange and grapefruit juice",
        "orange grapefruit juice",
    ),
    "God Morgon Red Grapefruit Juice": (
        "red grapefruit juice, god morgon",
        "god morgon grapefruit juice",
        "god morgon red grapefruit",
    ),
    "Tropicana Apple Juice": ("apple juice, tropicana", "tropicana apple", "carton of tropicana apple juice"),
    "Tropicana Golden Grapefruit": (
        "tropicana grapefruit juice",
        "golden grapefruit juice",
        "yellow grapefruit juice",
    ),
    "Tropicana Juice Smooth": ("tropicana smooth orange juice", "smooth juice, tropicana", "tropicana smooth"),
    "Tropicana Mandarin Morning": ("tropicana mandarin juice", "mandarin juice", "mandarin morning juice"),
    "Arla Ecological Medium Fat Milk": (
        "arla organic medium fat milk",
        "organic milk, arla",
        "arla organic semi-skimmed milk",
    ),
    "Arla Lactose Medium Fat Milk": (
        "arla lactose-free medium fat milk",
        "lactose-free milk",
        "lactose free milk, arla",
    ),
    "Arla Medium Fat Milk": ("medium fat milk, arla", "arla semi-skimmed milk", "medium milk, arla"),
    "Arla Standard Milk": ("standard milk, arla", "arla whole milk", "arla full fat milk"),
    "Garant Ecological Medium Fat Milk": (
        "garant organic medium fat milk",
        "organic milk, garant",
        "garant organic semi-skimmed milk",
    ),
    "Garant Ecological Standard Milk": (
        "garant organic standard milk",
        "garant organic whole milk",
        "organic whole milk, garant",
    ),
    "Oatly Oat Milk": ("oat milk, oatly", "oatly oat drink", "oatly", "carton of oatly oat milk"),
    "Oatly Natural Oatghurt": (
        "oatly natural oat yoghurt",
        "a carton of oat yoghurt, oatly",
        "natural oatghurt, oatly",
        "oatly oatghurt",
    ),
    "Arla Ecological Sour Cream": ("arla organic sour cream", "organic sour cream, arla", "organic sour cream"),
    "Arla Sour Cream": ("sour cream, arla", "arla soured cream"),
    "Arla Sour Milk": ("sour milk, arla", "arla soured milk", "arla filmjolk"),
    "Alpro Fresh Soy Milk": ("fresh soy milk, alpro", "alpro fresh soya milk", "alpro chilled soy drink"),
    "Alpro Shelf Soy Milk": ("long-life soy milk, alpro", "alpro shelf soya milk", "alpro long life soya drink"),
    "Alpro Blueberry Soyghurt": (
        "alpro blueberry soy yoghurt",
        "blueberry soyghurt",
        "blueberry soya yoghurt, alpro",
        "blueberry yoghurt",
    ),
    "Alpro Vanilla Soyghurt": ("alpro vanilla soy yoghurt", "vanilla soyghurt", "vanilla soya yoghurt, alpro"),
    "Arla Mild Vanilla Yoghurt": ("mild vanilla yoghurt, arla", "arla vanilla yogurt", "arla mild vanilla"),
    "Arla Natural Mild Low Fat Yoghurt": (
        "arla low-fat natural yoghurt",
        "low fat yoghurt, arla",
        "mild low-fat yogurt",
        "arla light yoghurt",
    ),
    "Arla Natural Yoghurt": ("natural yoghurt, arla", "arla plain yoghurt", "arla plain yogurt"),
    "Valio Vanilla Yoghurt": ("vanilla yoghurt, valio", "valio vanilla yogurt", "valio vanilla"),
    "Yoggi Strawberry Yoghurt": ("strawberry yoghurt, yoggi", "yoggi strawberry", "strawberry yogurt"),
    "Yoggi Vanilla Yoghurt": ("vanilla yoghurt, yoggi", "yoggi vanilla yogurt", "yoggi vanilla"),
    "Brown Cap Mushroom": ("brown cap mushrooms", "chestnut mushrooms", "brown mushrooms"),
    "Yellow Onion": ("yellow onions", "brown onions"),
    "Green Bell Pepper": ("green pepper", "green bell peppers", "green peppers", "green capsicum"),
    "Orange Bell Pepper": ("orange pepper", "orange bell peppers", "orange peppers", "orange capsicum"),
    "Red Bell Pepper": ("red pepper", "red bell peppers", "red peppers", "red capsicum"),
    "Yellow Bell Pepper": ("yellow pepper", "yellow bell peppers", "yellow peppers", "yellow capsicum"),
    "Floury Potato": ("floury potatoes", "baking potatoes", "mashing potatoes"),
    "Solid Potato": ("solid potatoes", "firm potatoes", "waxy potatoes", "boiling potatoes"),
    "Sweet Potato": ("sweet potatoes", "orange sweet potato"),
    "Beef Tomato": ("beef tomatoes", "beefsteak tomato", "beefsteak tomatoes", "large tomatoes"),
    "Regular Tomato": ("regular tomatoes", "round tomatoes", "loose tomatoes"),
    "Vine Tomato": ("vine tomatoes", "tomatoes on the vine", "vine-ripened tomatoes"),
}

BRANDS: Final = (
    "Nordvik",
    "Alba",
    "Lumen & Co",
    "Fjell",
    "Harbour",
    "Tessa",
    "Oakline",
    "Mira",
    "Basics",
    "Urban Loom",
    "Kestrel",
    "Juno",
    "Northway",
    "Pine",
    "Solis",
    "Verano",
    "Atlas",
    "Birch",
    "Wren",
    "Cobalt",
    "Meadow",
    "Riva",
)
MATERIALS: Final = (
    "cotton",
    "linen",
    "wool",
    "knitted",
    "jersey",
    "soft",
    "organic cotton",
    "casual",
    "classic",
    "basic",
    "slim-fit",
    "regular-fit",
    "relaxed",
    "vintage",
    "everyday",
    "second-hand",
)
SIZES: Final = ("size S", "size M", "size L", "size XL", "one size", "size 38", "size 42")
ADULT_AUDIENCES: Final = ("men's", "women's", "unisex", "ladies'", "mens", "womens")
CHILD_AUDIENCES: Final = ("kids'", "children's", "kids", "baby", "boys'", "girls'", "toddler")

# Words that a shop's texts hold beside the captions, so that they do not fall apart into single letters.
_SHOP_TEXT: Final = """
the and with for from this that our your new sale offer price cheap best quality size colour color brand product
products item items shop store online order delivery pack packs piece pieces set pair box bag bottle jar tin
litre litres gram grams kilo small medium large extra big little long short wide narrow light dark bright pale
deep plain striped stripes checked check plaid floral flower print printed pattern patterned dotted spots logo
graphic embroidered denim leather suede cotton wool silk satin linen polyester fleece velvet lace knit mesh
canvas nylon cashmere corduroy zip zipper button buttons collar pocket pockets hood sleeve sleeves sleeveless
neck crew round v-neck turtleneck waist belt strap straps heel heels laces sole summer winter spring autumn rain
warm cool sport sports running training gym yoga office work formal casual party evening school beach holiday
home outdoor travel men man women woman boy boys girl girls baby child children adult teen fresh ripe sweet sour
juicy organic natural local seasonal raw whole sliced green healthy vegan vegetarian dairy gluten free fat low
reduced sugar protein breakfast lunch dinner snack drink drinks food grocery groceries fruit vegetable salad
soup kitchen cooking baking bread cheese butter cream egg eggs meat fish chicken rice pasta beans nuts berries
strawberry raspberry blueberry cherry grape grapes vanilla chocolate coffee tea water socks scarf gloves suit
tie waistcoat cardigan gilet raincoat overalls jumpsuit pyjamas swimsuit underwear bra tights backpack handbag
wallet watch glasses sunglasses phone laptop chair table lamp toy book photo picture image hanger wall floor bed
shelf hand holding showing lying hanging folded
"""
SHOP_WORDS: Final = tuple(_SHOP_TEXT.split())
