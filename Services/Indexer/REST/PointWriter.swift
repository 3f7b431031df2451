import WireProtocol

/// Points as Qdrant answers them. Numbers are float32's shortest form: 0.15, not 0.15000000596.
enum PointWriter {
    static func list(_ points: [StoredPoint]) -> [UInt8] {
        var writer = JSONWriter(reserving: points.count * 256)
        write(points, into: &writer)
        return writer.bytes
    }

    static func write(_ points: [StoredPoint], into writer: inout JSONWriter) {
        writer.raw("[")
        for (index, point) in points.enumerated() {
            if index > 0 { writer.raw(",") }
            write(point, into: &writer)
        }
        writer.raw("]")
    }

    static func write(_ point: StoredPoint, into writer: inout JSONWriter) {
        writer.raw("{\"id\":")
        writer.write(point.id.json)
        if let score = point.score {
            writer.raw(",\"version\":")
            writer.write(Int64(point.version))
            writer.raw(",\"score\":")
            writer.write(score)
        }
        if let payload = point.payload {
            writer.raw(",\"payload\":")
            writer.raw(payload)
        }
        if let vectors = point.vectors {
            writer.raw(",\"vector\":")
            if vectors.count == 1, vectors[0].name.isEmpty {
                writer.write(vectors[0].values)
            } else {
                writer.raw("{")
                for (index, vector) in vectors.enumerated() {
                    if index > 0 { writer.raw(",") }
                    writer.write(vector.name)
                    writer.raw(":")
                    writer.write(vector.values)
                }
                writer.raw("}")
            }
        }
        if let value = point.orderValue {
            writer.raw(",\"order_value\":")
            writer.write(value)
        }
        writer.raw("}")
    }
}
