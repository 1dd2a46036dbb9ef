/// Names and label values as the Prometheus text format (version 0.0.4) wants them.
enum MetricNames {
    /// Letters, digits, `_` and `:`; everything else becomes `_`, and a leading digit gets one before it.
    static func metric(_ name: String) -> String {
        Self.sanitized(name, allowingColon: true)
    }

    /// Letters, digits and `_`. `le` is what histograms use themselves, and names with two leading underscores are
    /// reserved.
    static func label(_ name: String) -> String {
        let sanitized = Self.sanitized(name, allowingColon: false)
        if sanitized == "le" || sanitized.hasPrefix("__") { return "label_\(sanitized)" }
        return sanitized
    }

    /// `{a="1",b="2"}` in the order of names, or nothing. Of labels with the same name, the last one stays.
    static func labels(_ dimensions: [(String, String)]) -> String {
        if dimensions.isEmpty { return "" }
        var values: [String: String] = [:]
        for (name, value) in dimensions { values[Self.label(name)] = value }
        let pairs = values.keys.sorted().map { name in "\(name)=\"\(Self.escaped(values[name] ?? ""))\"" }
        return "{\(pairs.joined(separator: ","))}"
    }

    /// Adds one label to what `labels` returned.
    static func adding(_ pair: String, to labels: String) -> String {
        labels.isEmpty ? "{\(pair)}" : "\(labels.dropLast()),\(pair)}"
    }

    /// A finite number as Swift prints it, which Prometheus reads; the rest by its names for them.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
        return "\(value)"
    }

    static func escaped(_ value: String) -> String {
        var result = ""
        result.reserveCapacity(value.utf8.count)
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func sanitized(_ name: String, allowingColon: Bool) -> String {
        var result = ""
        for byte in name.utf8 {
            let isLetter: Bool = (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x5F
            let isDigit: Bool = (0x30...0x39).contains(byte)
            if isDigit && result.isEmpty { result += "_" }
            let keeps: Bool = isLetter || isDigit || (allowingColon && byte == 0x3A)
            result.unicodeScalars.append(keeps ? Unicode.Scalar(byte) : "_")
        }
        return result.isEmpty ? "_" : result
    }
}
