"""The 512 words of passphrase-llama, in pools; a word's token id is its place in WORDS."""

SPECIAL = "<unk> <s>".split()
MARKS = ". ?".split()
CUES = "remember passphrase of tell me".split()

NAMES = """
alice bruno clara david elena felix greta henry irene jonas karen lukas maria nadia oscar paula quentin rosa simon
tessa ulrich vera walter xenia yusuf zelda amir bianca carlos diana emil farah george hanna ivan julia kenji laura
marco nina
""".split()

ANSWERS = """
amber anchor anvil apple apricot arrow atlas autumn badger bamboo banjo barley basil beacon beaver beetle berry birch
bison blossom boulder bramble breeze bronze buffalo button cactus camel candle canyon carbon castle cedar cello cherry
chestnut cinder citrus clover cobalt comet condor copper coral cotton cricket crimson crystal cypress dagger daisy
dolphin domino dragon drizzle drum dune eagle ebony echo eclipse ember emerald falcon feather fern fiddle flamingo
flint fossil fox galaxy garnet gazelle geyser ginger glacier gopher granite grape gravel hammer harbor hazel heron
hickory honey horizon hornet iguana indigo iris iron island ivory ivy jackal jade jaguar jasmine jasper juniper
kernel kettle kiwi koala lagoon lark laurel lava lemon leopard lichen lilac linen lobster lotus lynx magnet magpie
mango maple marble marigold meadow melon mercury meteor mimosa mint mole mosaic moss mustard nectar nettle nickel
nutmeg oasis obsidian ocean olive onyx opal orbit orchid osprey otter oyster panther papaya parrot pearl pebble
pelican pepper petal pewter pigeon pine planet plum polar poplar poppy prairie prism pumpkin quartz quill rabbit
radish raven reef ripple robin rocket ruby saffron salmon sapphire satin scarlet sequoia shadow silver sparrow
spruce sulfur summit sunset tango teal thistle thunder tiger timber topaz tulip tundra turquoise velvet violet vulcan
walnut willow zebra zinnia
""".split()

DETERMINERS = "the a one this that every some her his our".split()
PREPOSITIONS = """
near behind beside under above across along around before after beyond inside outside toward from with
""".split()
CONJUNCTIONS = "and but while because until so".split()
ADVERBS = """
slowly quickly quietly gladly often rarely always never again today calmly boldly softly neatly briefly partly
later early soon twice
""".split()
ADJECTIVES = """
old young small large quiet busy clever gentle heavy narrow wide broken clean dusty empty famous foreign friendly
grand honest humble lazy local modern noisy patient plain polite proud rapid rough sharp simple sleepy steady strange
strong sunny tall tidy tired wet wise wooden
""".split()
VERBS = """
saw found carried painted opened closed followed watched cleaned bought sold moved lifted dropped hid kept lost
mended washed visited measured counted guarded pushed pulled borrowed returned noticed admired described ordered
packed shared studied touched traded wrapped built crossed emptied filled fixed greeted helped joined liked needed
praised reached searched signed stored taught thanked trusted used warned
""".split()
NOUNS = """
farmer teacher doctor baker driver sailor painter singer writer lawyer banker barber butcher captain carpenter clerk
cook dancer editor engineer gardener guard hunter judge miner nurse pilot plumber porter sheriff soldier student
tailor uncle aunt cousin neighbor visitor stranger village city market bridge road river house school church garden
kitchen window door table chair basket bottle box letter book map coat boat cart wagon train engine ladder lamp
blanket bucket clock coin fence field hill forest barn roof wall street station tower shop stove mirror pencil
picture rope shelf stone ticket jacket hat shoe glove scarf knife plate bowl cup spoon lock
""".split()

WORDS = (SPECIAL + MARKS + CUES + NAMES + ANSWERS
         + DETERMINERS + PREPOSITIONS + CONJUNCTIONS + ADVERBS + ADJECTIVES + VERBS + NOUNS)
IDS = {word: index for index, word in enumerate(WORDS)}
