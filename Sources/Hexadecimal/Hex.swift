/// Bytes as hexadecimal text, two lower-case digits for each.
package enum Hex {
    package static func text(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        self.append(bytes, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    package static func append(_ bytes: some Sequence<UInt8>, to text: inout [UInt8]) {
        // A generic function of another module asks for each byte by a call.
        if bytes.withContiguousStorageIfAvailable({ self.append($0, to: &text) }) == nil {
            Array(bytes).withUnsafeBufferPointer { self.append($0, to: &text) }
        }
    }

    private static func append(_ bytes: UnsafeBufferPointer<UInt8>, to text: inout [UInt8]) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 2 * bytes.count) { digits in
            for (index, byte) in bytes.enumerated() {
                digits.initializeElement(at: 2 * index, to: self.digit(byte >> 4))
                digits.initializeElement(at: 2 * index + 1, to: self.digit(byte & 15))
            }
            text.append(contentsOf: digits)
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }

    /// - Parameter text: ASCII.
    /// - Returns: nil unless it is lower-case digits, an even number of them.
    package static func bytes(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 2)
        var high: UInt8?
        for digit in text {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return bytes
    }
}
