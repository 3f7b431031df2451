/// Words that a text index leaves out, by language, as Qdrant names the languages. Source: the Snowball project's lists.
enum StopWordLists {
    static let languages = lists.keys.sorted()

    static func of(_ language: String) -> Set<String>? { lists[language.lowercased()] }

    private static let lists: [String: Set<String>] = ["english": words(english), "spanish": words(spanish)]

    private static func words(_ text: String) -> Set<String> {
        Set(text.split(whereSeparator: \.isWhitespace).map(String.init))
    }

    private static let english = """
        i me my myself we our ours ourselves you you're you've you'll you'd your yours yourself yourselves he him his himself
        she she's her hers herself it it's its itself they them their theirs themselves what which who whom this that that'll
        these those am is are was were be been being have has had having do does did doing a an the and but if or because as
        until while of at by for with about against between into through during before after above below to from up down in
        out on off over under again further then once here there when where why how all any both each few more most other
        some such no nor not only own same so than too very s t can will just don don't should should've now d ll m o re ve y
        ain aren aren't couldn couldn't didn didn't doesn doesn't hadn hadn't hasn hasn't haven haven't isn isn't ma mightn
        mightn't mustn mustn't needn needn't shan shan't shouldn shouldn't wasn wasn't weren weren't won won't wouldn wouldn't
        """
    private static let spanish = """
        de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque esta entre
        cuando muy sin sobre también me hasta hay donde quien desde todo nos durante todos uno les ni contra otros ese eso
        ante ellos e esto mí antes algunos qué unos yo otro otras otra él tanto esa estos mucho quienes nada muchos cual poco
        ella estar estas algunas algo nosotros mi mis tú te ti tu tus ellas nosotras vosotros vosotras os mío mía míos mías
        tuyo tuya tuyos tuyas suyo suya suyos suyas nuestro nuestra nuestros nuestras vuestro vuestra vuestros vuestras esos
        esas estoy estás está estamos estáis están esté estés estemos estéis estén estaré estarás estará estaremos estaréis
        estarán estaría estarías estaríamos estaríais estarían estaba estabas estábamos estabais estaban estuve estuviste
        estuvo estuvimos estuvisteis estuvieron he has ha hemos habéis han haya hayas hayamos hayáis hayan habré habrás habrá
        habremos habréis habrán había habías habíamos habíais habían hube hubiste hubo hubimos hubisteis hubieron soy eres es
        somos sois son sea seas seamos seáis sean seré serás será seremos seréis serán era eras éramos erais eran fui fuiste
        fue fuimos fuisteis fueron tengo tienes tiene tenemos tenéis tienen tenga tengas tengamos tengáis tengan tendré
        tendrás tendrá tendremos tendréis tendrán tenía tenías teníamos teníais tenían tuve tuviste tuvo tuvimos tuvisteis
        tuvieron
        """
}
