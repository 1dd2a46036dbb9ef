internal import EdgeModel
internal import NIOCore

/// One function for each type of value. Each reports what is wrong and returns nil then.
struct ValueReaders {
    let report: DiagnosticCollector

    /// Any scalar's text.
    func text(_ node: ConfigurationNode, _ wanted: String = "text") -> String? {
        guard case .scalar(let text, _) = node.kind, !node.isAbsent else {
            self.wrongType(node, wanted: wanted)
            return nil
        }
        if text.isEmpty {
            self.report.error(at: node.position, "the text is empty", remedy: "Write \(wanted), or remove the key.")
            return nil
        }
        return text
    }

    func integer(_ node: ConfigurationNode, in range: ClosedRange<Int>) -> Int? {
        guard case .scalar(let text, plain: true) = node.kind, let number = Int(text) else {
            self.wrongType(node, wanted: "a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        guard range.contains(number) else {
            self.report.error(
                at: node.position, "\(text) is out of range",
                remedy: "The range is \(range.lowerBound) to \(range.upperBound).")
            return nil
        }
        return number
    }

    /// `50%`.
    func percentage(_ node: ConfigurationNode, in range: ClosedRange<Int>) -> Int? {
        guard case .scalar(let text, plain: true) = node.kind, text.hasSuffix("%"),
            let number = Int(text.dropLast()), range.contains(number)
        else {
            self.wrongType(node, wanted: "a percentage from \(range.lowerBound)% to \(range.upperBound)%")
            return nil
        }
        return number
    }

    func size(_ node: ConfigurationNode, in range: ClosedRange<Int>) -> Int? {
        let wanted = "bytes (65536) or a size with a unit (64KiB, 1MiB, 10GiB)"
        guard case .scalar(let text, plain: true) = node.kind, let number = SizeText.parse(text) else {
            self.wrongType(node, wanted: wanted)
            return nil
        }
        guard range.contains(number) else {
            self.report.error(
                at: node.position, "\(text) is out of range",
                remedy: "The range is \(range.lowerBound) to \(range.upperBound) bytes.")
            return nil
        }
        return number
    }

    func duration(_ node: ConfigurationNode, in range: ClosedRange<Duration>) -> Duration? {
        guard case .scalar(let text, plain: true) = node.kind, !node.isAbsent else {
            self.wrongType(node, wanted: "a duration (250ms, 2s, 5m, 24h)")
            return nil
        }
        guard let duration = DurationText.parse(text) else {
            let remedy =
                Int64(text) != nil
                ? "Did you mean \"\(text)s\"? The units are ms, s, m, h."
                : "Write a whole number and a unit: 250ms, 2s, 5m or 24h."
            self.report.error(at: node.position, "\"\(text)\" is not a duration", remedy: remedy)
            return nil
        }
        guard range.contains(duration) else {
            let lowest = DurationText.describe(range.lowerBound)
            let highest = DurationText.describe(range.upperBound)
            self.report.error(
                at: node.position, "\(text) is out of range", remedy: "The range is \(lowest) to \(highest).")
            return nil
        }
        return duration
    }

    /// A duration, as the edge's parts have it.
    func time(_ node: ConfigurationNode, in range: ClosedRange<Duration>) -> TimeAmount? {
        self.duration(node, in: range).map { TimeAmount($0) }
    }

    func boolean(_ node: ConfigurationNode) -> Bool? {
        guard case .scalar(let text, plain: true) = node.kind, text == "true" || text == "false" else {
            self.wrongType(node, wanted: "true or false")
            return nil
        }
        return text == "true"
    }

    /// One of the cases of an enumeration of words.
    func word<Word: RawRepresentable & CaseIterable>(_ node: ConfigurationNode, as type: Word.Type) -> Word?
    where Word.RawValue == String {
        let words = Word.allCases.map(\.rawValue)
        guard let text = self.text(node, "one of \(words.joined(separator: ", "))") else { return nil }
        guard let word = Word(rawValue: text) else {
            self.report.error(
                at: node.position, "\"\(text)\" is not known here",
                remedy: NearestName.advice(text, among: words, noun: "Known words"))
            return nil
        }
        return word
    }

    func endpoint(_ node: ConfigurationNode, allowPortZero: Bool) -> SocketEndpoint? {
        guard let text = self.text(node, "HOST:PORT") else { return nil }
        do {
            return try SocketEndpoint.parse(text, allowPortZero: allowPortZero)
        } catch {
            self.report.error(at: node.position, error.message, remedy: error.remedy)
            return nil
        }
    }

    /// An address to listen on: an IP address or `localhost`, and any port.
    func listener(_ node: ConfigurationNode) -> SocketEndpoint? {
        guard let endpoint = self.endpoint(node, allowPortZero: true) else { return nil }
        guard endpoint.isIPAddress || endpoint.host == "localhost" else {
            self.report.error(
                at: node.position, "\"\(endpoint.host)\" is not an address of this machine",
                remedy: "Listen on an IP address: 0.0.0.0 or [::] for every interface.")
            return nil
        }
        return endpoint
    }

    /// A listener that only this machine reaches.
    func loopbackListener(_ node: ConfigurationNode) -> SocketEndpoint? {
        guard let endpoint = self.listener(node) else { return nil }
        guard endpoint.isLoopback else {
            self.report.error(
                at: node.position, "the admin port has no access control, so it cannot listen on \(endpoint.host)",
                remedy: "Use 127.0.0.1 or [::1].")
            return nil
        }
        return endpoint
    }

    func originURL(_ node: ConfigurationNode) -> OriginConfiguration? {
        guard let text = self.text(node, "a URL such as http://127.0.0.1:8080") else { return nil }
        do {
            return try OriginURL.parse(text)
        } catch {
            self.report.error(at: node.position, error.message, remedy: error.remedy)
            return nil
        }
    }

    /// One value or a list of values. At least one; wrong items are reported and left out.
    func list<Item>(_ node: ConfigurationNode, of noun: String, _ item: (ConfigurationNode) -> Item?) -> [Item] {
        switch node.kind {
        case .list(let nodes):
            if nodes.isEmpty {
                self.report.error(at: node.position, "the list is empty", remedy: "Write at least one \(noun).")
            }
            return nodes.compactMap(item)
        case .scalar where !node.isAbsent:
            return item(node).map { [$0] } ?? []
        case .scalar, .mapping:
            self.wrongType(node, wanted: "a list: one \(noun) or more")
            return []
        }
    }

    func wrongType(_ node: ConfigurationNode, wanted: String) {
        self.report.error(at: node.position, "\(node.typeName) where \(wanted) is expected")
    }
}
