public import HTTPFields

/// What a request is called in logs here and at the origin (`X-Request-Id`).
public enum RequestName: Sendable, Equatable {
    /// By a trusted proxy before this one: where it stands in the request's fields.
    case accepted(Range<Int>)
    /// Here: 32 hexadecimal digits.
    case made(UInt64, UInt64)

    static let field: StaticString = "X-Request-Id"
    static let fieldName = FieldName("x-request-id")

    /// Longer names are not accepted.
    public static let maximumBytes = 128

    /// - Parameter accepts: whether the client may bring one along. It has to be the only one, of 1...128 characters that stand in a log
    ///   and in a URL as they are.
    init(_ fields: FieldSection, accepts: Bool, _ new: () -> (UInt64, UInt64)) {
        if accepts, let name = Self.brought(by: fields) {
            self = .accepted(name)
        } else {
            let (high, low) = new()
            self = .made(high, low)
        }
    }

    private static func brought(by fields: FieldSection) -> Range<Int>? {
        var found: Range<Int>?
        for field in fields where Self.isField(field, of: fields) {
            guard found == nil else { return nil }
            found = field.value
        }
        guard let found, 1...Self.maximumBytes ~= found.count else { return nil }
        return fields.withBytes(found) { $0.allSatisfy(Self.isPlain) } ? found : nil
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: "~"), UInt8(ascii: ":"), UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "="),
            UInt8(ascii: "@"):
            true
        default: false
        }
    }

    /// `X-Request-Id`, also where it is spelled with underscores: gateways to application servers fold both to one variable.
    static func isField(_ field: FieldRecord, of fields: FieldSection) -> Bool {
        guard field.known == nil, field.name.count == 12 else { return false }
        return fields.withBytes(field.name) { name in
            zip(name, "x-request-id".utf8).allSatisfy {
                ($0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : ByteClass.lowercased($0)) == $1
            }
        }
    }

    /// Whether that is the name of the field, in lower case.
    static func isField(_ name: FieldName) -> Bool {
        name.known == nil && name.bytes.elementsEqual("x-request-id".utf8)
    }

    /// The name's bytes, which are valid until `body` returns.
    ///
    /// - Parameter fields: of the request.
    public func withBytes<Result>(in fields: FieldSection, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self {
        case .accepted(let range): fields.withBytes(range, body)
        case .made(let high, let low):
            withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { digits in
                Self.write(high, to: digits, from: 0)
                Self.write(low, to: digits, from: 16)
                return body(UnsafeRawBufferPointer(digits))
            }
        }
    }

    private static func write(_ number: UInt64, to digits: UnsafeMutableRawBufferPointer, from start: Int) {
        for place in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - place * 4)) & 0xF
            digits[start + place] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
        }
    }
}
