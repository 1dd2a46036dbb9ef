import HTTPFields
import HTTPWire
import NIOCore

/// What a reader made of some bytes, in a form that does not depend on how they were cut.
enum Item: Equatable, CustomStringConvertible {
    case head(line: String, fields: [String], framing: BodyFraming)
    case body(String)
    case end(trailers: [String])
    case switched
    case refused(WireFault, Int)

    var description: String {
        switch self {
        case .head(let line, let fields, let framing): "head(\(line) \(fields) \(framing))"
        case .body(let text): "body(\(text.debugDescription))"
        case .end(let trailers): "end(\(trailers))"
        case .switched: "switched"
        case .refused(let fault, let status): "refused(\(fault.rawValue) \(status))"
        }
    }
}

extension [Item] {
    mutating func add(body: String) {
        if case .body(let before)? = self.last {
            self[self.count - 1] = .body(before + body)
        } else {
            self.append(.body(body))
        }
    }

    var fault: WireFault? {
        guard case .refused(let fault, _)? = self.last else { return nil }
        return fault
    }
}

/// Each byte as the character of its number: nothing is lost, and tables stay readable.
func latin1(_ bytes: some Sequence<UInt8>) -> String {
    String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
}

func bytes(_ text: String) -> [UInt8] {
    text.unicodeScalars.map { UInt8($0.value) }
}

func text(_ section: FieldSection, _ range: Range<Int>) -> String {
    section.withBytes(range) { latin1($0) }
}

func texts(_ section: FieldSection?) -> [String] {
    guard let section else { return [] }
    return section.map { "\(text(section, $0.name)): \(text(section, $0.value))" }
}

/// Cuts `input` behind each of `cuts`.
func cut(_ input: [UInt8], _ cuts: [Int]) -> [ByteBuffer] {
    var parts: [ByteBuffer] = []
    var start = 0
    for end in cuts + [input.count] {
        parts.append(ByteBuffer(bytes: input[start..<end]))
        start = end
    }
    return parts
}

/// Reads all requests of a connection. Heads are looked at last, when everything behind them has been received.
func readRequests(_ input: [UInt8], cuts: [Int] = [], limits: WireLimits = WireLimits()) -> [Item] {
    enum Held { case head(RequestHead), item(Item) }
    var held: [Held] = []
    var body: [Item] = []
    func flush() {
        held += body.map { .item($0) }
        body = []
    }
    var reader = RequestReader(limits: limits)
    do throws(WireError) {
        for part in cut(input, cuts) {
            reader.receive(part)
            while let event = try reader.next() {
                switch event {
                case .head(let head): held.append(.head(head))
                case .body(let part): body.add(body: latin1(part.readableBytesView))
                case .end(let trailers):
                    flush()
                    held.append(.item(.end(trailers: texts(trailers))))
                }
            }
        }
        flush()
    } catch {
        flush()
        held.append(.item(.refused(error.fault, error.status)))
    }
    return held.map { held in
        switch held {
        case .item(let item): item
        case .head(let head):
            .head(
                line: text(head.fields, head.methodRange) + " " + text(head.fields, head.targetRange)
                    + " 1.\(head.minorVersion)",
                fields: texts(head.fields), framing: head.framing)
        }
    }
}

/// Reads the responses to requests with these methods; the connection ends behind the bytes.
func readResponses(
    _ input: [UInt8], to methods: [RequestMethod] = [.get], cuts: [Int] = [], limits: WireLimits = WireLimits()
) -> [Item] {
    var items: [Item] = []
    var reader = ResponseReader(limits: limits)
    var methods = methods[...]
    if let method = methods.popFirst() { reader.expect(method) }
    func drain() throws(WireError) {
        while let event = try reader.next() {
            switch event {
            case .informational(let head): items.append(item(head, .none))
            case .head(let head, let framing): items.append(item(head, framing))
            case .body(let part): items.add(body: latin1(part.readableBytesView))
            case .end(let trailers):
                items.append(.end(trailers: texts(trailers)))
                // The next request goes out at once, with bytes behind this response already there: not what a proxy
                // does, but what lets a table show two responses in a row.
                if let method = methods.popFirst() {
                    let rest = reader.takeRest()
                    reader.expect(method)
                    reader.receive(rest)
                }
            case .switched: items.append(.switched)
            }
        }
    }
    do throws(WireError) {
        for part in cut(input, cuts) {
            reader.receive(part)
            try drain()
        }
        try reader.receiveEnd()
        try drain()
    } catch {
        items.append(.refused(error.fault, error.status))
    }
    return items
}

private func item(_ head: ResponseHead, _ framing: BodyFraming) -> Item {
    .head(
        line: "1.\(head.minorVersion) \(head.status) " + text(head.fields, head.reasonRange),
        fields: texts(head.fields),
        framing: framing)
}

/// Numbers that are the same in every run.
struct TestRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
