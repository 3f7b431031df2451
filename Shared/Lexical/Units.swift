/// Units of measure, so that `12 mm`, `12mm` and `12-mm` are one term, and `15.6"`, `15.6 inch` and `15,6 pulgadas` too.
enum Units {
    /// Spelling -> the one that stands in a term. Lower case, ASCII.
    static let canonical: [[UInt8]: [UInt8]] = {
        let spellings: [String: String] = [
            "in": "in inch inches pulgada pulgadas pulg", "ft": "ft feet foot",
            "mm": "mm millimeter millimeters milimetros",
            "cm": "cm centimeter centimeters centimetros", "m": "m meter meters metre metres metro metros",
            "km": "km kilometers kilometros", "g": "g gr gram grams gramos", "kg": "kg kilo kilos kilograms kilogramos",
            "mg": "mg", "lb": "lb lbs pounds", "oz": "oz ounce ounces", "l": "l liter liters litre litres litro litros",
            "ml": "ml", "cl": "cl", "kb": "kb", "mb": "mb", "gb": "gb", "tb": "tb", "hz": "hz", "khz": "khz",
            "mhz": "mhz",
            "ghz": "ghz", "v": "v volt volts voltios", "kv": "kv", "w": "w watt watts vatios", "kw": "kw", "kwh": "kwh",
            "wh": "wh", "va": "va", "kva": "kva", "a": "amp amps amperios", "ma": "ma", "mah": "mah", "dpi": "dpi",
            "ppm": "ppm", "rpm": "rpm", "mp": "mp megapixel megapixels megapixeles", "fps": "fps", "db": "db",
            "nm": "nm",
            "mbps": "mbps", "gbps": "gbps", "btu": "btu", "lm": "lm lumen lumens lumenes", "um": "um", "u": "u",
            "p": "p",
            "k": "k", "bit": "bit bits", "port": "port ports puerto puertos",
        ]
        var units: [[UInt8]: [UInt8]] = [:]
        for (name, all) in spellings {
            for spelling in all.split(separator: " ") { units[Array(spelling.utf8)] = Array(name.utf8) }
        }
        return units
    }()
    static let longest = canonical.keys.reduce(0) { max($0, $1.count) }
}
