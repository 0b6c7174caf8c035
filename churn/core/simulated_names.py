"""Words the generated log is written with. All made up or common: no real person, song or band is meant."""

from itertools import product

WOMEN = (
    "Ada", "Alma", "Bea", "Carla", "Clara", "Dora", "Edith", "Elena", "Esther", "Flora", "Greta", "Hanna", "Ida",
    "Ines", "Iris", "Jana", "June", "Kira", "Laura", "Lea", "Lina", "Mara", "Marta", "Mia", "Nadia", "Nina", "Nora",
    "Olga", "Paula", "Rosa", "Ruth", "Sara", "Selma", "Tessa", "Thea", "Vera", "Wanda", "Yara", "Zoe", "Zora",
)  # fmt: skip
MEN = (
    "Adam", "Alan", "Anton", "Aron", "Ben", "Boris", "Carl", "Cole", "David", "Dylan", "Elias", "Emil", "Erik",
    "Felix", "Finn", "Gabriel", "Hugo", "Ivan", "Jacob", "Jonas", "Karl", "Kevin", "Leo", "Liam", "Luca", "Marco",
    "Max", "Milo", "Noah", "Oscar", "Otto", "Pablo", "Paul", "Ryan", "Samuel", "Simon", "Theo", "Tom", "Victor",
    "Wyatt",
)  # fmt: skip
FAMILIES = (
    "Abbott", "Adams", "Arroyo", "Baker", "Barnes", "Bell", "Bennett", "Brandt", "Brooks", "Campos", "Carter", "Chen",
    "Cole", "Cook", "Cruz", "Diaz", "Dixon", "Duran", "Ellis", "Evans", "Fisher", "Flores", "Foster", "Garcia",
    "Gibson", "Gomez", "Grant", "Gray", "Green", "Hall", "Harper", "Hayes", "Hill", "Hughes", "Hunt", "Jensen",
    "Kelly", "Khan", "Kim", "King", "Klein", "Lang", "Larson", "Lewis", "Lopez", "Martin", "Mason", "Meyer", "Miller",
    "Moore", "Nguyen", "Novak", "Owens", "Park", "Patel", "Perez", "Porter", "Price", "Reed", "Reyes", "Rivera",
    "Rogers", "Rossi", "Ruiz", "Santos", "Scott", "Silva", "Smith", "Stone", "Torres", "Turner", "Vega", "Walker",
    "Ward", "Weber", "Wolf", "Young",
)  # fmt: skip
LOCATIONS = (
    "New York-Newark-Jersey City, NY-NJ-PA", "Los Angeles-Long Beach-Anaheim, CA", "Chicago-Naperville-Elgin, IL-IN-WI",
    "Dallas-Fort Worth-Arlington, TX", "Houston-The Woodlands-Sugar Land, TX", "Boston-Cambridge-Newton, MA-NH",
    "Philadelphia-Camden-Wilmington, PA-NJ-DE-MD", "Miami-Fort Lauderdale-West Palm Beach, FL", "Tucson, AZ",
    "Atlanta-Sandy Springs-Roswell, GA", "Phoenix-Mesa-Scottsdale, AZ", "San Francisco-Oakland-Hayward, CA",
    "Seattle-Tacoma-Bellevue, WA", "Minneapolis-St. Paul-Bloomington, MN-WI", "San Diego-Carlsbad, CA",
    "Tampa-St. Petersburg-Clearwater, FL", "Denver-Aurora-Lakewood, CO", "St. Louis, MO-IL", "Pittsburgh, PA",
    "Portland-Vancouver-Hillsboro, OR-WA", "Charlotte-Concord-Gastonia, NC-SC", "San Antonio-New Braunfels, TX",
    "Orlando-Kissimmee-Sanford, FL", "Sacramento--Roseville--Arden-Arcade, CA", "Kansas City, MO-KS", "Columbus, OH",
    "Indianapolis-Carmel-Anderson, IN", "San Jose-Sunnyvale-Santa Clara, CA", "Austin-Round Rock, TX", "Raleigh, NC",
    "Nashville-Davidson--Murfreesboro--Franklin, TN", "Milwaukee-Waukesha-West Allis, WI", "Jacksonville, FL",
    "Oklahoma City, OK", "Memphis, TN-MS-AR", "Louisville/Jefferson County, KY-IN", "Richmond, VA", "Buffalo, NY",
    "New Orleans-Metairie, LA", "Salt Lake City, UT", "Birmingham-Hoover, AL", "Rochester, NY", "Eureka-Arcata, CA",
)  # fmt: skip
_MOZILLA = '"Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.143 Safari/537.36"'
_PLATFORMS = ("Windows NT 6.1; WOW64", "Windows NT 6.3; WOW64", "Macintosh; Intel Mac OS X 10_9_4", "X11; Linux x86_64")
USER_AGENTS = (
    *(_MOZILLA.format(p, v, b) for p, (v, b) in product(_PLATFORMS, ((35, 1916), (36, 1985), (37, 2062)))),
    "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:31.0) Gecko/20100101 Firefox/31.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.9; rv:31.0) Gecko/20100101 Firefox/31.0",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)",
)

_COLOURS = ("Amber", "Blue", "Copper", "Crimson", "Golden", "Hollow", "Ivory", "Lucid", "Midnight", "Northern", "Paper",
            "Quiet", "Rusted", "Silver", "Static", "Velvet", "Violet", "Wandering", "White", "Wild")  # fmt: skip
_THINGS = ("Antlers", "Arcades", "Cartographers", "Comets", "Foxes", "Gardeners", "Harbors", "Lanterns", "Meridians",
           "Orchards", "Parades", "Pilots", "Radios", "Satellites", "Sparrows", "Tides", "Tramways", "Violins",
           "Wolves", "Yards")  # fmt: skip
ARTISTS = tuple(f"The {a} {b}" for a, b in product(_COLOURS, _THINGS))
_VERBS = ("Carry", "Chasing", "Counting", "Falling For", "Follow", "Holding", "Leaving", "Losing", "Meet Me At",
          "Never", "Only", "Painting", "Running From", "Send", "Slow", "Somebody's", "Stay For", "Under", "Waiting On",
          "Without")  # fmt: skip
_NOUNS = ("Avenue", "Ashes", "Autumn", "Balconies", "Bridges", "Candles", "Daylight", "Echoes", "Fireflies", "Ghosts",
          "Home", "Letters", "Mirrors", "Monday", "Mountains", "Oceans", "Rain", "Shadows", "Stations", "Summer",
          "Sundays", "Thunder", "Tomorrow", "Trains", "Wires")  # fmt: skip
SONGS = tuple(f"{a} {b} {c}" for a, b, c in product(_VERBS, _COLOURS, _NOUNS))
