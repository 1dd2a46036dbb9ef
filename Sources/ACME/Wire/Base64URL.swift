#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Base64 with the alphabet for URLs and without padding (RFC 4648 section 5), as JWS writes all binary values.
enum Base64URL {
    static func encode(_ bytes: some Collection<UInt8>) -> String {
        var text = ""
        for character in Data(bytes).base64EncodedString() where character != "=" {
            switch character {
            case "+": text.append("-")
            case "/": text.append("_")
            default: text.append(character)
            }
        }
        return text
    }

    /// nil: it has padding or a character of another alphabet.
    static func decode(_ text: String) -> [UInt8]? {
        guard Self.isAlphabetOnly(text) else { return nil }
        var standard = text.replacing("-", with: "+").replacing("_", with: "/")
        standard += String(repeating: "=", count: (4 - standard.utf8.count % 4) % 4)
        return Data(base64Encoded: standard).map { [UInt8]($0) }
    }

    static func isAlphabetOnly(_ text: String) -> Bool {
        text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }
}
