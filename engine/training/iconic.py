"""The things that a model of the sticker set learns by name: a few of each class, in one style.

A small model that is trained for hours, not weeks, learns a few hundred drawings by heart; of a
thousand it learns the colours. So a class stands for the things listed here, each easy to tell
from the others and drawn flat, and everything else in the set is context: shown in any pose, with
its class or no label.
"""

STYLE = "twemoji"  # flat and bold: the drawings that 16 x 16 tokens keep best

THINGS = {
    "face": (
        "grinning face", "face with tears of joy", "smiling face with heart-eyes",
        "smiling face with sunglasses", "face with tongue", "enraged face", "crying face",
        "skull", "ghost", "alien", "clown face", "grinning cat",
    ),
    "heart": (
        "red heart", "orange heart", "yellow heart", "green heart", "blue heart", "purple heart",
        "broken heart", "sparkling heart", "heart with arrow", "heart with ribbon",
    ),
    "mammal": (
        "dog face", "cat face", "fox", "lion", "tiger face", "cow face", "pig face", "rabbit face",
        "bear", "panda", "koala", "monkey face", "elephant",
    ),
    "bird": (
        "rooster", "baby chick", "duck", "eagle", "owl", "flamingo", "parrot", "swan", "peacock",
        "turkey", "chicken",
    ),
    "reptile": ("frog", "turtle", "lizard", "snake", "dragon face", "sauropod", "T-Rex"),
    "sea life": (
        "spouting whale", "dolphin", "fish", "blowfish", "shark", "octopus", "crab", "lobster",
        "squid", "spiral shell",
    ),
    "bug": (
        "snail", "butterfly", "bug", "ant", "honeybee", "lady beetle", "spider", "scorpion",
        "mosquito",
    ),
    "flower": (
        "cherry blossom", "rose", "hibiscus", "sunflower", "blossom", "tulip", "bouquet", "lotus",
    ),
    "plant": (
        "seedling", "potted plant", "evergreen tree", "deciduous tree", "palm tree", "cactus",
        "four leaf clover", "mushroom", "fallen leaf",
    ),
    "fruit": (
        "grapes", "watermelon", "tangerine", "lemon", "banana", "pineapple", "red apple", "pear",
        "peach", "cherries", "strawberry",
    ),
    "vegetable": (
        "avocado", "eggplant", "potato", "carrot", "ear of corn", "hot pepper", "cucumber", "onion",
        "garlic",
    ),
    "meal": (
        "hamburger", "pizza", "hot dog", "french fries", "bread", "croissant", "pretzel",
        "pancakes", "cheese wedge", "cooking",
    ),
    "sweet": (
        "soft ice cream", "ice cream", "doughnut", "cookie", "birthday cake", "shortcake",
        "cupcake", "chocolate bar", "candy",
    ),
    "drink": (
        "glass of milk", "hot beverage", "wine glass", "tropical drink", "beer mug", "bubble tea",
        "cup with straw", "teapot", "tumbler glass",
    ),
    "place": (
        "mount fuji", "snow-capped mountain", "desert island", "camping", "ferris wheel",
        "circus tent", "sunrise", "cityscape",
    ),
    "building": (
        "house", "house with garden", "office building", "castle", "church", "hospital",
        "school", "classical building", "Tokyo tower",
    ),
    "land vehicle": (
        "automobile", "taxi", "police car", "delivery truck", "tractor", "bicycle", "ambulance",
        "locomotive", "tram", "racing car",
    ),
    "boat": ("sailboat", "speedboat", "passenger ship", "ferry", "motor boat", "ship"),
    "aircraft": (
        "helicopter", "rocket", "flying saucer", "small airplane", "parachute", "satellite",
    ),
    "weather": (
        "crescent moon", "sun with face", "star", "cloud", "sun behind cloud", "rainbow",
        "snowman without snow", "snowflake", "umbrella", "fire",
    ),
    "sport": (
        "soccer ball", "basketball", "baseball", "american football", "volleyball", "trophy",
        "tennis", "bowling", "boxing glove",
    ),
    "party & game": (
        "jack-o-lantern", "Christmas tree", "wrapped gift", "teddy bear", "game die",
        "pool 8 ball", "crystal ball", "artist palette", "party popper",
    ),
    "music": (
        "guitar", "trumpet", "saxophone", "drum", "accordion", "microphone", "radio", "headphone",
        "musical keyboard",
    ),
    "clothing": (
        "t-shirt", "jeans", "dress", "top hat", "billed cap", "sunglasses", "backpack",
        "high-heeled shoe", "handbag",
    ),
    "tool": (
        "hammer", "wrench", "key", "magnet", "locked", "bomb", "microscope", "telescope",
        "screwdriver", "gear",
    ),
    "household": (
        "door", "window", "bed", "chair", "toilet", "bathtub", "bucket", "toothbrush", "basket",
    ),
    "gadget": (
        "mobile phone", "laptop", "desktop computer", "camera", "television", "light bulb",
        "telephone", "floppy disk", "battery", "bell",
    ),
}  # fmt: skip
