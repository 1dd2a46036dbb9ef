/// How the end of a message body is found (RFC 9112 §6.3).
public enum OldBodyFraming: Equatable, Sendable {
    /// No body at all.
    case none
    /// Exactly so many bytes.
    case length(Int64)
    /// The chunked coding; trailers may follow.
    case chunked
    /// Responses only: everything up to the end of the connection.
    case untilClose

    /// Bytes, where the framing says how many there are.
    public var length: Int64? {
        switch self {
        case .none: 0
        case .length(let length): length
        case .chunked, .untilClose: nil
        }
    }
}

/// Why a message's framing can't be trusted.
enum FramingFault: Error {
    case lengthAndCoding, differingLengths, badLength, codingNotSupported, chunkedNotLast
}

/// Collects `Content-Length` and `Transfer-Encoding` fields and says what they amount to. Anything that two parsers could read
/// in two ways is a fault: that is how requests are smuggled.
struct FramingFields {
    private(set) var length: Int64?
    private(set) var hasCoding = false
    private var codingFault: FramingFault?
    private var chunkedSeen = false
    private var lengthFault: FramingFault?

    mutating func addLength(_ value: String) {
        // One number per element: `5, 5` is what merging two equal fields makes (RFC 9110 §8.6).
        var seen = false
        FieldText.forEachElement(value) { element in
            seen = true
            guard let number = Self.number(element) else {
                self.lengthFault = .badLength
                return
            }
            if let previous = self.length, previous != number {
                self.lengthFault = self.lengthFault ?? .differingLengths
            }
            self.length = number
        }
        if !seen { self.lengthFault = .badLength }
    }

    mutating func addCoding(_ value: String) {
        self.hasCoding = true
        var seen = false
        FieldText.forEachElement(value) { element in
            seen = true
            if self.chunkedSeen {
                // Chunked twice, or something applied after it.
                self.codingFault = .chunkedNotLast
            } else if FieldText.equal(element, "chunked") {
                self.chunkedSeen = true
            } else {
                self.codingFault = self.codingFault ?? .codingNotSupported
            }
        }
        if !seen { self.codingFault = .codingNotSupported }
    }

    /// `nil` where neither field was there.
    func framing() throws(FramingFault) -> OldBodyFraming? {
        if self.hasCoding, self.length != nil || self.lengthFault != nil { throw .lengthAndCoding }
        if let codingFault { throw codingFault }
        if let lengthFault { throw lengthFault }
        if self.hasCoding { return .chunked }
        return self.length.map { .length($0) }
    }

    /// Digits only (no sign, no spaces inside), within 63 bits.
    static func number(_ text: some StringProtocol) -> Int64? {
        var number: Int64 = 0
        var digits = 0
        for byte in text.utf8 {
            let digit = byte &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, overflow2) = product.addingReportingOverflow(Int64(digit))
            if overflow || overflow2 { return nil }
            number = sum
            digits += 1
        }
        return digits == 0 ? nil : number
    }
}
