import Telemetry

/// Something that a process lets its operators do or see through the admin port. It speaks JSON.
public struct AdminEndpoint: Sendable {
    /// `GET` or `POST`.
    public var method: String
    /// `/cache/purge`.
    public var path: String
    public var run: @Sendable (AdminRequest) async -> AdminAnswer

    public init(method: String, path: String, run: @escaping @Sendable (AdminRequest) async -> AdminAnswer) {
        self.method = method
        self.path = path
        self.run = run
    }
}

public struct AdminRequest: Sendable {
    /// What follows the `?`, as it was sent.
    public var query: String
    /// What came with POST: at most as much as a connection may send.
    public var body: String

    public init(query: String = "", body: String = "") {
        self.query = query
        self.body = body
    }

    /// The value of a parameter of the query, percent-decoded; nil if it is not there.
    public func parameter(_ name: String) -> String? {
        for part in self.query.split(separator: "&") {
            let pieces = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pieces.first.map(String.init) == name else { continue }
            return pieces.count > 1 ? Self.decoded(pieces[1]) : ""
        }
        return nil
    }

    private static func decoded(_ text: Substring) -> String? {
        var out: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"): out.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst(), let low = rest.popFirst(),
                    let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)
                else { return nil }
                out.append(value)
            default: out.append(byte)
            }
        }
        return String(validating: out, as: UTF8.self)
    }
}

public struct AdminAnswer: Sendable, Equatable {
    /// An HTTP status.
    public var status: Int
    /// One JSON value; a line break at its end is customary.
    public var json: String

    public init(status: Int = 200, json: String) {
        self.status = status
        self.json = json
    }

    /// `{"error": …, "remedy": …}`.
    public static func failure(_ status: Int, _ message: String, remedy: String? = nil) -> AdminAnswer {
        var text = "{\"error\":"
        JSONText.quote(message, into: &text)
        if let remedy {
            text += ",\"remedy\":"
            JSONText.quote(remedy, into: &text)
        }
        return AdminAnswer(status: status, json: text + "}\n")
    }
}
