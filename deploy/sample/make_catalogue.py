#!/usr/bin/env python3
"""Writes the sample catalogue as CSV: make_catalogue.py [ROWS] [--seed N] > catalogue.csv

Invented products of 26 categories, always the same for the same seed. Each kind of product below is described in its own words
(`name: description`), so that a search in other words has something to find; brand, version, size and price vary.
"""
import csv
import random
import sys

# category: brands; versions; kinds (name: description)
CATALOGUE = {
    "Kitchen": ("Brava,Tressel,Copperleaf,Norlund", "red,black,ivory,sage green,1.5 litre,2.2 litre,family size,compact", """
Insulated travel mug: Double-walled steel cup with a sealing lid. Drinks stay steaming for six hours on the way to work.
Electric kettle: Brings a litre of water to the boil in three minutes and switches itself off.
Cast iron skillet: Heavy pre-seasoned pan for searing steaks and baking cornbread, on any hob or over a camp fire.
Chef's knife: Twenty centimetre blade of forged carbon steel for slicing, dicing and chopping herbs.
Bread maker: Kneads, proves and bakes a fresh loaf overnight; a timer has it ready for breakfast.
Vegetable spiralizer: Turns courgettes and carrots into noodles, a light stand-in for pasta."""),
    "Coffee and tea": ("Moka Lane,Altura,Kettle & Leaf,Ristret", "250 g,500 g,1 kg,chrome,matt black,for two,for six,gift box", """
Espresso machine: Fifteen bar pump, steam wand for milk foam and a tray that warms the cups.
Burr coffee grinder: Conical grinder with forty settings, from Turkish fine to French press coarse.
Single origin coffee beans: Washed arabica from smallholders in Ethiopia with notes of jasmine and lemon.
Cold brew jug: Steeps ground coffee in the fridge overnight for a smooth drink with little acidity.
Loose leaf green tea: Spring harvest sencha, grassy and sweet, in a resealable tin.
Milk frother: Whisks warm or cold foam for cappuccino at the press of a button."""),
    "Bedding": ("Dormiva,Cloudnest,Hvila,Linnea", "single,double,king size,white,slate grey,summer weight,winter weight,extra long", """
Weighted blanket: Seven kilograms of glass beads quilted into cotton; gentle pressure that calms restless sleepers.
Memory foam pillow: Contoured support for side sleepers who wake up with a stiff neck.
Goose down duvet: Light and lofty filling that keeps you warm on freezing nights.
Linen sheet set: Stonewashed flax that breathes in hot weather and softens with each wash.
Mattress protector: Waterproof but silent cover that guards against spills and dust mites.
Silk sleep mask: Blocks out every bit of light, kind to eyelids and lashes."""),
    "Furniture": ("Holm & Ek,Oaken,Studio Varde,Plainwork", "oak,walnut,white,anthracite,small,wide,tall,with castors", """
Standing desk: Electric height adjustment from sitting to standing with four remembered positions.
Ergonomic office chair: Mesh back with adjustable lumbar support for those who sit at a screen all day.
Bookcase: Five open shelves of solid wood for paperbacks, atlases and plants.
Sofa bed: Three seater that folds out into a bed for overnight guests.
Bedside table: Small cabinet with one drawer and a shelf for the book you are reading.
Shoe bench: Seat for the hallway with room for eight pairs underneath."""),
    "Lighting": ("Lumera,Halo Works,Nordlys,Filament Co", "brass,black,white,warm white,dimmable,pack of two,battery powered,outdoor", """
Sunrise alarm light: Wakes you gently by growing brighter over half an hour like the dawn.
Desk lamp: Flicker-free arm lamp with a clamp, five colour temperatures for reading or drawing.
Solar garden lights: Stake lamps for the path that charge by day and glow from dusk on.
Motion sensor night light: Plugs into a socket and lights the way to the bathroom in the dark.
Smart bulb: Sixteen million colours, set by voice or telephone.
Pendant lamp: Hand-blown glass shade for over the dining table."""),
    "Cleaning": ("Klarin,Fresco,Dustaway,Purehome", "cordless,with two filters,refill pack,lavender,unscented,large,for pets,5 litre", """
Robot vacuum cleaner: Maps the rooms, sweeps up crumbs and animal hair by itself and returns to its dock.
Steam mop: Disinfects tiles with nothing but hot vapour, no chemicals needed.
Laundry detergent sheets: Dissolving strips without a plastic bottle, for thirty washes.
Window squeegee: Leaves panes and shower doors free of streaks.
Stain remover spray: Lifts red wine, grass and grease out of clothes before washing.
Handheld vacuum: Small suction cleaner for car seats, sofas and stairs."""),
    "Garden": ("Greenacre,Rootline,Sprig,Terravert", "small,large,set of three,galvanised,terracotta,10 metre,20 metre,for balconies", """
Pruning shears: Bypass secateurs that cut branches up to two centimetres thick.
Raised vegetable bed: Larch planter at waist height for growing salad without kneeling.
Drip irrigation kit: Waters tomatoes drop by drop while you are on holiday.
Compost bin: Turns peelings and leaves into rich soil within a season.
Wildflower seed mix: Native blooms that feed bees and butterflies all summer.
Hedgehog house: Wooden winter shelter for small spiky visitors."""),
    "Tools": ("Ferrum,Drillmaster,Werkhaus,Tallow & Steel", "18 volt,12 volt,with case,set of 12,set of 46,left handed,heavy duty,pocket size", """
Cordless drill driver: Two-speed hammer action for masonry, wood and metal.
Laser level: Throws a crossed line on the wall so that shelves hang straight.
Socket wrench set: Chrome vanadium ratchets in metric and inch sizes for cars and bicycles.
Jigsaw: Cuts curves in worktops and sheet metal with a quiet brushless motor.
Soldering station: Temperature controlled iron for circuit boards and fine electronics.
Folding ladder: Telescopic aluminium steps that fit into a car boot."""),
    "Running": ("Stridewell,Kinetic,Paceline,Fjellrun", "size 38,size 40,size 42,size 44,size 46,navy,neon yellow,wide fit", """
Trail running shoes: Aggressive grip for mud and wet rock with a plate against sharp stones.
Road running shoes: Springy cushioning that spares the knees over a marathon on asphalt.
Hydration vest: Carries two soft flasks, gels and a jacket close to the body on long runs.
Compression socks: Graduated knee-high stockings that help tired calves recover.
Reflective running jacket: Windproof shell seen by drivers from two hundred metres at night.
GPS sports watch: Tracks pace, heart rate and route, lasts two weeks on a charge."""),
    "Cycling": ("Velora,Pedalwerk,Ridgeback Lane,Spoke & Co", "28 inch,26 inch,black,silver,women's,men's,universal,with mount", """
Bicycle helmet: Rotational impact protection, eighteen vents and a rear lamp.
Folding bike: Collapses in ten seconds to take onto the train.
Puncture-proof tyres: Thick layer below the tread that stops thorns and glass from causing a flat.
Bike repair stand: Holds the frame at working height while you adjust the gears.
Pannier bags: Waterproof pair for the luggage rack, made for touring in the rain.
Child bike seat: Padded carrier with harness to take a toddler along behind you."""),
    "Camping": ("Northpeak,Wildmoor,Basalt,Campfire Union", "1 person,2 person,4 person,ultralight,olive,orange,four season,rental grade", """
Dome tent: Freestanding shelter that withstands storms and is up in five minutes.
Down sleeping bag: Mummy shape, comfortable to ten degrees below zero.
Gas camping stove: Folds to the size of a fist and cooks pasta in the wilderness.
Self-inflating sleeping mat: Four centimetres between you and the cold ground.
Head torch: Hands-free beam of four hundred lumens, rechargeable by USB.
Water filter straw: Makes stream water safe to drink by removing bacteria."""),
    "Winter sports": ("Alpina Nord,Snowcrest,Firn,Glacier House", "size S,size M,size L,size XL,blue,charcoal,youth,rental set", """
Ski goggles: Anti-fog double lens that brings out bumps in flat light.
Heated gloves: Battery-warmed mittens for people whose fingers always freeze.
Avalanche transceiver: Three-antenna beacon to locate buried companions.
Snowshoes: Floating frames with crampons for walking on deep powder.
Thermal base layer: Merino underwear that keeps its warmth when damp and does not smell.
Toboggan: Bent ash sledge with steel runners for hills behind the house."""),
    "Yoga and fitness": ("Asana Lab,Corewell,Flexa,Ironleaf", "4 mm,6 mm,light,medium,heavy,teal,plum,studio pack", """
Yoga mat: Natural rubber with a grip that does not slip even with sweaty hands.
Resistance bands: Elastic loops of five strengths for training at home or in a hotel room.
Adjustable dumbbells: One pair replaces fifteen, from two to twenty-four kilograms.
Foam roller: Grooved cylinder that loosens tight muscles after a workout.
Kettlebell: Cast weight for swings and squats, flat base, smooth handle.
Pull-up bar: Clamps into a door frame without screws."""),
    "Baby": ("Little Fern,Nestling,Pomme,Bambolo", "0-6 months,6-12 months,mint,rose,set of two,travel size,organic,starter set", """
Baby monitor: Camera with night vision and two-way talk, so you hear when the little one cries.
Convertible stroller: Folds with one hand; the seat faces you or the world.
Anti-colic bottle: Vent that keeps air out of the milk and tummies calm.
Teething ring: Chilled silicone to chew on while the first teeth come through.
White noise machine: Plays rain and heartbeat sounds that lull newborns to sleep.
High chair: Grows along from the first spoon of porridge to school age."""),
    "Toys": ("Kindling,Wonderblock,Tiptoe,Brightmoth", "ages 2+,ages 4+,ages 6+,ages 8+,60 pieces,120 pieces,travel edition,deluxe", """
Wooden building blocks: Beech bricks in eight shapes for towers, castles and bridges.
Marble run: Tracks, loops and funnels that teach cause and effect while balls race down.
Plush elephant: Cuddly companion with floppy ears, machine washable.
Science experiment kit: Grow crystals, launch a rocket and build a volcano safely.
Jigsaw puzzle of the world: Cardboard map whose pieces are the countries.
Remote control car: Off-road buggy that climbs over sand and grass."""),
    "Board games": ("Meeple Yard,Dicehall,Tabula,Fox & Token", "second edition,anniversary edition,travel size,for 2,for 2 to 4,for 3 to 6,expansion,family edition", """
Cooperative mystery game: Solve a murder together by sharing clues before midnight strikes.
Wooden chess set: Weighted Staunton pieces on a folding walnut board.
Trivia quiz: Two thousand questions on history, film and science for an evening with friends.
Railway strategy game: Lay tracks across a continent and outbid rival barons.
Word tile game: Place letters on a grid to score with rare vocabulary.
Party drawing game: Sketch, pass on and guess; artistic talent is a disadvantage."""),
    "Music": ("Ardent,Brightwood,Tonal,Cadenza", "natural,sunburst,black,beginner set,left handed,with bag,3/4 size,full size", """
Acoustic guitar: Spruce top with a warm sound, low strings that spare a beginner's fingertips.
Digital piano: Eighty-eight weighted keys and headphone output so the neighbours can sleep.
Ukulele: Four nylon strings, small enough for the beach.
Clip-on tuner: Reads vibrations and shows whether each string is sharp or flat.
Cajon: Wooden box drum with snares, sit on it and play.
Metronome: Swinging pendulum that keeps you in time while practising."""),
    "Audio": ("Sonora,Auralis,Deepfield,Hertz & Hale", "black,white,forest green,USB-C,second generation,sport,pro,mini", """
Noise cancelling headphones: Silence the roar of an aeroplane cabin and hear only your music.
True wireless earbuds: Stay put while jogging, resist sweat, charge in their case.
Portable Bluetooth speaker: Floats in the pool and plays for twenty hours.
Turntable: Belt-driven player for vinyl records with built-in preamplifier.
Soundbar: Clear dialogue and deep bass under the television.
Podcast microphone: Cardioid condenser capsule for recording voices at your desk."""),
    "Photography": ("Optika,Fieldlens,Lumen & Grain,Shutterby", "for beginners,body only,with bag,carbon,aluminium,64 GB,128 GB,weatherproof", """
Mirrorless camera: Large sensor, fast autofocus on eyes of people and birds.
Travel tripod: Folds to thirty-five centimetres and carries eight kilograms without shaking.
Macro lens: Life-size pictures of insects and flowers at a hand's breadth.
Instant camera: Prints a credit card sized photo seconds after the click.
Camera drone: Films from the air in 4K and finds its own way home.
Ring light: Even, shadow-free illumination for portraits and video calls."""),
    "Computers": ("Bytewell,Quanta Forge,Nimbus,Corestack", "8 GB,16 GB,256 GB,512 GB,1 TB,2 TB,13 inch,15 inch", """
Ultrabook laptop: Weighs under a kilogram and works through a transatlantic flight on one charge.
Mechanical keyboard: Tactile switches with a satisfying click and swappable keycaps.
External SSD: Rugged pocket drive to back up a whole photo library in minutes.
Ultrawide monitor: Curved screen with space for two documents side by side.
Vertical mouse: Handshake grip that relieves a sore wrist.
Mesh Wi-Fi system: Three stations that end dead spots on every floor."""),
    "Phones and power": ("Voltaro,Pocketwell,Amperia,Linkby", "10,000 mAh,20,000 mAh,65 W,100 W,1 metre,2 metre,black,blue", """
Power bank: Charges an empty mobile three times far from any socket.
Wireless charging pad: Lay the telephone down and it fills up, no cable to plug.
Universal travel adapter: Fits outlets in a hundred and fifty countries.
Rugged smartphone: Survives drops, dust and half an hour under water.
Braided charging cable: Nylon sleeve that does not break at the ends.
Car phone holder: Magnetic mount for the vent keeps the map in view."""),
    "Skin and hair": ("Aloeve,Botanica Nine,Saltmarsh,Rosehip & Rye", "30 ml,50 ml,100 ml,250 ml,unscented,for sensitive skin,refill,travel set", """
Mineral sunscreen: Zinc filter of factor fifty that protects from burning and spares the reef.
Moisturising face cream: Hyaluronic acid and shea for dry, tight cheeks in winter.
Solid shampoo bar: Plastic-free wash with nettle for greasy hair.
Beard oil: Softens stubble and stops itching, cedar scent.
Electric toothbrush: Sonic bristles with a timer and a warning when you press too hard.
Hair dryer: Ionic stream that dries fast without frizz."""),
    "Pets": ("Pawsome,Whisker & Wag,Fernhund,Tailored", "small breed,large breed,puppy,senior,2 kg,10 kg,salmon,chicken", """
Automatic cat feeder: Serves measured meals by timer while you are away for the weekend.
Dog harness: No-pull walking vest with a handle and reflective stitching.
Orthopaedic dog bed: Thick foam for old hounds with aching joints.
Scratching post: Sisal column that saves your sofa from claws.
Aquarium starter kit: Glass tank with filter, heater and lamp for tropical fish.
Grain-free kibble: Crunchy dry food for animals with a delicate stomach."""),
    "Bags and travel": ("Wanderling,Portage,Meridian,Carryall", "20 litre,30 litre,40 litre,cabin size,olive,black,sand,expandable", """
Carry-on suitcase: Four silent wheels, fits the overhead locker of every airline.
Anti-theft backpack: Hidden zips and slash-proof fabric for crowded metros.
Packing cubes: Zipped pouches that keep shirts and socks in order inside a suitcase.
Neck pillow: Supports the head while dozing upright on a long-haul flight.
Toiletry bag: Hangs from a hook, sorts bottles and razors.
Document wallet: Holds passports, tickets and cards behind a radio shield."""),
    "Clothing": ("Loomfield,Harbour & Wool,Tindra,Plain Thread", "size S,size M,size L,size XL,navy,burgundy,cream,moss", """
Waterproof rain jacket: Taped seams and a peaked hood for cloudbursts, packs into its own pocket.
Merino wool sweater: Fine knit that warms without scratching.
Linen summer dress: Airy cut with pockets for hot afternoons.
Work trousers: Reinforced knees and a loop for the hammer.
Leather belt: Vegetable tanned strap with a brass buckle that ages well.
Wool beanie: Ribbed hat that covers the ears on icy mornings."""),
    "Books and paper": ("Inkwell Press,Paper Harbour,Folio Nord,Marginalia", "hardcover,paperback,dotted,lined,A5,A4,gift edition,illustrated", """
Vegetarian cookbook: Eighty meat-free dinners for busy weekdays.
Dotted notebook: Smooth paper that fountain pens do not bleed through.
Bird watching field guide: Tells apart four hundred species by feather, flight and song.
Watercolour set: Twenty-four pans of lightfast paint with a brush that holds its own water.
Wall calendar: One landscape a month and space for everybody's appointments.
Beginner's guide to astronomy: Find planets and constellations with the naked eye."""),
}
ENDINGS = [
    "Two year warranty.", "Made in Europe.", "Comes in recyclable packaging.", "A favourite of our customers.", "Tested by an independent laboratory.",
    "Free returns within thirty days.", "New this season.", "Spare parts are available.", "Designed in Copenhagen.", "Also makes a fine present.",
]
COLUMNS = ["id", "sku", "name", "description", "category", "brand", "price", "currency", "rating", "review_count", "in_stock", "updated_at"]


def rows(count, seed):
    draw = random.Random(seed)
    kinds = []
    for category, (brands, versions, lines) in CATALOGUE.items():
        for line in lines.strip().splitlines():
            name, _, description = line.partition(": ")
            kinds.append((category, brands.split(","), versions.split(","), name, description))
    for number in range(count):
        category, brands, versions, name, description = kinds[number % len(kinds)]
        turn = number // len(kinds)
        brand = brands[(number + turn) % len(brands)]
        version = versions[turn % len(versions)]
        yield {
            "id": f"P-{number + 1:05d}",
            "sku": f"{''.join(word[0] for word in category.split()).upper()}{draw.randrange(10, 100)}-{draw.randrange(1000, 10000)}",
            "name": f"{brand} {name}, {version}",
            "description": f"{description} {ENDINGS[draw.randrange(len(ENDINGS))]}",
            "category": category,
            "brand": brand,
            "price": f"{draw.choice([9, 14, 19, 24, 29, 39, 49, 69, 89, 119, 149, 199]) + draw.choice([0.0, 0.5, 0.9, 0.99]):.2f}",
            "currency": "EUR",
            "rating": f"{draw.uniform(3.1, 5.0):.1f}",
            "review_count": draw.randrange(0, 2400),
            "in_stock": draw.choice(["true", "true", "true", "false"]),
            "updated_at": f"2026-{draw.randrange(1, 7):02d}-{draw.randrange(1, 29):02d}T{draw.randrange(24):02d}:{draw.randrange(60):02d}:00Z",
        }


def write(file, count=1248, seed=7):
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(rows(count, seed))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    seed = int(arguments.pop(arguments.index("--seed") + 1)) if "--seed" in arguments else 7
    numbers = [int(word) for word in arguments if word.isdigit()]
    write(sys.stdout, numbers[0] if numbers else 1248, seed)
