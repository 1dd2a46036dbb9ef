#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// JSON of a directory's answers, within bounds, and of our requests.
enum JSONText {
    static let maximumBytes = 256 * 1024
    static let maximumDepth = 16

    static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8], _ what: String
    ) throws(ACMEFailure) -> Value {
        guard bytes.count <= Self.maximumBytes else {
            throw ACMEFailure(.badAnswer("\(what) takes \(bytes.count) bytes"))
        }
        guard Self.depth(bytes) <= Self.maximumDepth else {
            throw ACMEFailure(.badAnswer("\(what) is nested too deep"))
        }
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch {
            throw ACMEFailure(.badAnswer("\(what): \(Self.text(error))"))
        }
    }

    /// The same value has the same bytes: keys are sorted.
    static func encode(_ value: some Encodable) throws(ACMEFailure) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return [UInt8](try encoder.encode(value)) } catch { throw ACMEFailure(.local("cannot encode: \(error)")) }
    }

    /// How deep objects and arrays are nested.
    static func depth(_ bytes: [UInt8]) -> Int {
        var depth = 0
        var deepest = 0
        var isInText = false
        var isEscaped = false
        for byte in bytes {
            if isInText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInText = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isInText = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                deepest = max(deepest, depth)
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
        }
        return deepest
    }

    private static func text(_ error: any Error) -> String {
        switch error as? DecodingError {
        case .keyNotFound(let key, _): "\"\(key.stringValue)\" is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            "the value of \"\(context.codingPath.map(\.stringValue).joined(separator: "."))\" is of another type"
        default: "it is not the JSON that RFC 8555 describes"
        }
    }
}
