/// Words that say nothing about a product: articles, prepositions, pronouns, auxiliary verbs. Lower case, without accents. A word
/// of one list that means a thing in the other language (sin, son, once, era, sobre) is in neither.
enum StopWords {
    static let english: Set<String> = words(
        """
        a an and are as at be been but by could did do does doing for from had has have having how i if in into is it its
        me my of on or our out own so some such than that the their them then there these they this those to too under until
        up very was we were what when where which while who why will with would you your yours
        """)
    static let spanish: Set<String> = words(
        """
        a al algo ante aquel aquella con como cual cuando de del desde donde durante e el ella ellas ellos en entre es esa
        ese eso esta estas este esto estos ha han hasta hay la las le les lo los mas me mi mis muy ni nos nuestra nuestro o
        os para pero por porque que quien se segun ser su sus tambien te tener tiene tu tus u un una unas uno unos y ya yo
        """)

    /// Spanish ones that are as often the name of a model or a country in another language ("Back-UPS ES", "HA G101", "A4 a 180 DPI").
    static let initialisms: Set<String> = words("a al e es ha la le lo me mi ni no o os se su te tu u un y ya yo")

    /// Those that stand between key words too: "case for tablet", "cable de red".
    static let connectives: Set<String> = words("and con de del e en for in la o of or para por u with y")

    /// Words of somebody who says what a thing is for. They are looked for like others.
    static let spoken: Set<String> = words(
        "make makes keep keeps want need needs something someone anything thing hacer quiero necesito")

    private static func words(_ text: String) -> Set<String> {
        Set(text.split(whereSeparator: \.isWhitespace).map(String.init))
    }
}
